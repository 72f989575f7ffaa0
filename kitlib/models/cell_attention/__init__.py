"""`cell_attention`: 25 questions that each look at the slices of all sequences."""
