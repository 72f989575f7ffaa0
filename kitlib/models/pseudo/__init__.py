"""`pseudo`: missing sequences imputed from those present, and a classifier that knows which are real."""
