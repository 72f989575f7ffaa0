"""The names of how predictions are combined and calibrated, and of what comes of it; imports nothing."""

CALIBRATED_BLEND = "calibrated blend"
"""What is submitted, among predictions that are scored."""
COMBINERS = ("blend", "logistic", "lightgbm")
CALIBRATORS = ["temperature", "vector_scaling", "any_severe"]
"""With those that `calibrate.register_calibrator` adds."""
