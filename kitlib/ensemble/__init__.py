"""Ensembling: blending, calibrating and comparing predictions, never on the studies they are judged on."""
