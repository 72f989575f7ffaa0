"""Evaluation of predictions: intervals, classification metrics, baselines, and attention."""
