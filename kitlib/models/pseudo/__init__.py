"""`pseudo`: missing sequences are imputed from those present, for a classifier that knows which are real."""
