"""Audit landmark tables: find points that cannot be right, and correct or drop them."""
