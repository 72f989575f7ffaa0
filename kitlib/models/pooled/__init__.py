"""`pooled`: the systems of the published table, with a vector per sequence and a classifier per cell."""
