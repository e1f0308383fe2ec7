"""Level 0: the language."""
