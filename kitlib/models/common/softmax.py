"""Multinomial regression on top of given logits: it starts at them and is pulled back to them."""

import numpy as np

from kitlib.terms import SEVERITY_WEIGHTS


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def fit_softmax(
    rows: np.ndarray, offsets: np.ndarray, severities: np.ndarray, *, penalty: float
) -> np.ndarray:
    """Coefficients (columns + 1, 3), the last row the intercepts, of logits = offsets + rows @ coefficients.

    They minimise the log loss weighted 1/2/4, as a mean, plus `penalty` / (2 n) times their squared sum.
    """
    from scipy.optimize import minimize  # half a second

    design = np.hstack([rows, np.ones((len(rows), 1))])
    weights = np.take(SEVERITY_WEIGHTS, severities) / np.take(SEVERITY_WEIGHTS, severities).sum()
    truth = np.eye(offsets.shape[1])[severities]
    shape = (design.shape[1], offsets.shape[1])
    ridge = penalty / len(rows)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        coefficients = flat.reshape(shape)
        probabilities = softmax(offsets + design @ coefficients)
        log_loss = -weights @ np.log(np.maximum((probabilities * truth).sum(axis=1), 1e-300))
        gradient = design.T @ ((probabilities - truth) * weights[:, None]) + ridge * coefficients
        return log_loss + ridge / 2 * flat @ flat, gradient.ravel()

    return minimize(loss, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B").x.reshape(shape)
