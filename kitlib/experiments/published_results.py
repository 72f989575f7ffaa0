"""What the two projects published for their systems, as their texts print it."""

from collections.abc import Mapping

from kitlib.experiments.experiment import PublishedResult

PUBLISHED_RESULTS: Mapping[tuple[int, str, str], tuple[tuple[float, float, float], ...]] = {
    # (width, grey, classifier): accuracy, F1 and AUC-ROC in per cent, of ResNet50 with average and
    # with attention, and of MedicalNet with attention
    (512, "equalised", "networks"): ((46.60, 37.80, 60.00), (27.50, 46.40, 62.80), (47.50, 33.10, 55.40)),
    (512, "equalised", "networks_weighted"): (
        (40.80, 47.50, 63.30),
        (64.20, 36.50, 58.90),
        (56.00, 32.90, 56.70),
    ),
    (512, "greyscale", "networks"): ((50.20, 34.40, 57.50), (27.80, 46.30, 61.90), (48.90, 31.90, 55.90)),
    (512, "greyscale", "networks_weighted"): (
        (27.40, 33.80, 58.00),
        (61.00, 45.80, 61.50),
        (46.90, 31.60, 57.50),
    ),
    (512, "equalised", "svc"): ((91.95, 61.90, 62.95), (88.30, 60.70, 57.64), (89.50, 54.75, 46.91)),
    (512, "equalised", "lightgbm"): ((78.03, 45.59, 67.32), (81.31, 44.24, 71.42), (79.84, 43.07, 64.13)),
    (512, "equalised", "xgboost"): ((64.48, 39.08, 62.60), (70.52, 42.16, 64.23), (62.51, 38.06, 61.03)),
    (512, "equalised", "bagging"): ((53.94, 34.53, 60.29), (64.96, 39.23, 63.09), (50.53, 32.11, 58.10)),
    (512, "greyscale", "svc"): ((92.21, 53.45, 61.25), (88.70, 61.92, 62.96), (88.53, 53.17, 49.79)),
    (512, "greyscale", "lightgbm"): ((77.59, 45.78, 65.84), (81.41, 45.48, 69.60), (79.81, 44.40, 65.84)),
    (512, "greyscale", "xgboost"): ((63.75, 40.52, 62.54), (70.90, 43.70, 62.89), (61.96, 38.01, 62.86)),
    (512, "greyscale", "bagging"): ((52.86, 34.16, 60.97), (65.20, 39.93, 64.30), (49.81, 32.57, 59.15)),
    (2048, "equalised", "svc"): ((88.02, 60.09, 53.37), (90.94, 64.20, 63.60), (88.30, 59.71, 51.60)),
    (2048, "greyscale", "svc"): ((88.95, 63.10, 65.03), (91.04, 62.80, 62.71), (88.60, 59.95, 53.69)),
}
RANDOM_RESULT = PublishedResult(0.0, 0.0, 0.0)
"""The table says "≈ 0 %" for random predictions, which no three-way guess can reach."""
VIT_RESULT = PublishedResult(0.9569)
