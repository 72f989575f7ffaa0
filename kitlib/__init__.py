"""kitlib: from a folder of lumbar MRI to a valid, scored `submission.csv` (RSNA 2024)."""

__version__ = "0.1.0"
