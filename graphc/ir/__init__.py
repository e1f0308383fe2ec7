"""Level 1: types, nodes, graphs, provenance."""
