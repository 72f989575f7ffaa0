"""`pseudo`: missing sequences filled from those present, and a classifier that knows which are real."""
