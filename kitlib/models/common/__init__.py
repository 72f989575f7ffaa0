"""Code shared by several model families: cells as rows of a table, positions, training rows."""
