"""The operations: the op table and the structural operations."""
