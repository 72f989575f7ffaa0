"""Training: whole-study folds, experiments as data, and cross-validation that resumes."""
