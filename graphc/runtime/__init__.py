"""Compiling and running."""
