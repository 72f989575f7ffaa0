"""The names by which a profile chooses how predictions are combined and calibrated; imports nothing."""

COMBINERS = ("blend", "logistic", "lightgbm")
CALIBRATORS = ("temperature", "vector_scaling", "any_severe")
