"""Judging predictions: intervals, classification measures, baselines, and what models attend to."""
