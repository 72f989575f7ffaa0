"""Experiments as data: folds, cross-validation that resumes, and the table of results."""
