"""Level 2: differentiation."""
