"""Prediction, study by study, from DICOM to submission rows: fold models, blended, and a rung per row."""
