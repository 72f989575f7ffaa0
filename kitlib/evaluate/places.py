"""Evaluation of graded places of one kind: how they rank, and the log loss of their probabilities."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from kitlib.terms import SEVERITIES, SEVERITY_WEIGHTS

SMALLEST = 1e-6
WEIGHTS = np.array(SEVERITY_WEIGHTS)
NORMAL, SEVERE = 0, len(SEVERITIES) - 1


def judged_places(
    severities: np.ndarray, probabilities: np.ndarray, levels: np.ndarray, studies: np.ndarray
) -> dict[str, float]:
    """Metrics of the probabilities (n, 3) of places; NaN if too few severities occur.

    auc: Severe vs Normal/Mild. loss: weighted log loss. scaled: the loss after multinomial regression on the
    log probabilities, fitted on the other half of the studies. prior: the loss of weighted frequencies by
    level, also from the other half. places, studies and severe are counts.
    """
    clear = (severities == NORMAL) | (severities == SEVERE)
    worse = probabilities[:, 1] + 2 * probabilities[:, 2]
    ranked = len(np.unique(severities[clear])) == 2
    halves = np.isin(studies, np.unique(studies)[::2])
    whole = all(len(np.unique(severities[half])) == len(SEVERITIES) for half in (halves, ~halves))
    found = {
        "auc": float(roc_auc_score(severities[clear] == SEVERE, worse[clear])) if ranked else np.nan,
        "loss": weighted_log_loss(severities, probabilities),
        "scaled": np.nan,
        "prior": np.nan,
        "places": len(severities),
        "studies": len(np.unique(studies)),
        "severe": int((severities == SEVERE).sum()),
    }
    if whole:
        scaled, prior = np.empty((2, len(severities), len(SEVERITIES)))
        logs = np.log(probabilities.clip(SMALLEST))
        for own in (halves, ~halves):
            scaled[own] = _scaled(logs, severities, ~own)[own]
            prior[own] = _prior(levels, severities, ~own)[own]
        found["scaled"] = weighted_log_loss(severities, scaled)
        found["prior"] = weighted_log_loss(severities, prior)
    return found


def weighted_log_loss(severities: np.ndarray, probabilities: np.ndarray) -> float:
    """Log loss of probabilities (n, 3), weighted 1/2/4 by severity as in the competition."""
    of_truth = probabilities[np.arange(len(severities)), severities].clip(SMALLEST)
    return float(np.average(-np.log(of_truth), weights=WEIGHTS[severities]))


def _scaled(logs: np.ndarray, severities: np.ndarray, fitted_on: np.ndarray) -> np.ndarray:
    model = LogisticRegression(max_iter=1000)
    model.fit(logs[fitted_on], severities[fitted_on], sample_weight=WEIGHTS[severities[fitted_on]])
    return model.predict_proba(logs)


def _prior(levels: np.ndarray, severities: np.ndarray, fitted_on: np.ndarray) -> np.ndarray:
    """Weighted severity frequencies at each place's level, with 0.5 added to each count."""
    names, numbers = np.unique(levels, return_inverse=True)
    counts = np.full((len(names), len(SEVERITIES)), 0.5)
    np.add.at(counts, (numbers[fitted_on], severities[fitted_on]), WEIGHTS[severities[fitted_on]])
    return (counts / counts.sum(axis=1, keepdims=True))[numbers]
