"""The audit of landmark tables: what in them cannot be, and which point is meant."""
