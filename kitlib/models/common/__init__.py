"""What several families share: cells as rows of a table, positions, training rows."""
