"""Figures and small tables from finished tables and arrays; only notebooks and commands import them."""
