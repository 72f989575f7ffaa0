"""Ensembling: blending, stacking and calibration, never fitted on the studies they are judged on."""
