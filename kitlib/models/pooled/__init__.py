"""`pooled`: the first seed's table: a pooled vector a sequence and a classifier for each cell."""
