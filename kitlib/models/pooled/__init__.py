"""`pooled`: the published table's systems: a pooled vector a sequence and a classifier for each cell."""
