"""Names of the combiners, the calibrators and their result; imports nothing."""

CALIBRATED_BLEND = "calibrated blend"
"""Name of the submitted prediction among those that are scored."""
COMBINERS = ("blend", "logistic", "lightgbm")
CALIBRATORS = ["temperature", "vector_scaling", "any_severe"]
"""`calibrate.register_calibrator` adds to this list."""
