"""Figures, each from finished tables."""
