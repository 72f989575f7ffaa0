"""Profiles, the six steps and their runner on papermill, and prediction from DICOM to rows."""
