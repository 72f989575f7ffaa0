"""Experiments as data: folds, resumable cross-validation, and the table of results."""
