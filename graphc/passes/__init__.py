"""Levels 3 and 4: rewriting and fusion."""
