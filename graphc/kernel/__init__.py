"""Level 5: kernels."""
