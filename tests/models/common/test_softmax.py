from pathlib import Path

import numpy as np
from scipy.special import softmax

from kitlib.artefacts import Provenance
from kitlib.models.common.softmax import SoftmaxRegressions, fit_softmax
from kitlib.terms import EMPTY

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(400, 2))
TRUE_LOGITS = np.stack([np.zeros(400), 2 * ROWS[:, 0], -2 * ROWS[:, 0]], axis=1)
SEVERITIES = np.array([RANDOM.choice(3, p=row) for row in softmax(TRUE_LOGITS, axis=-1)])
OFFSETS = np.zeros((400, 3))


def test_the_relation_is_found() -> None:
    coefficients = fit_softmax(ROWS, OFFSETS, SEVERITIES, penalty=0.1)
    assert coefficients[0, 1] - coefficients[0, 0] > 1
    assert abs(coefficients[1]).max() < 0.5


def test_the_penalty_leads_back_to_the_offsets() -> None:
    assert abs(fit_softmax(ROWS, OFFSETS, SEVERITIES, penalty=1e9)).max() < 1e-3


def test_a_calibration_keeps_the_prior_unless_decisions_say_something(tmp_path: Path) -> None:
    prior = np.tile([0.6, 0.3, 0.1], (25, 1))
    labels = RANDOM.choice(3, p=(6 / 8, 3 / 16, 1 / 16), size=(200, 25))
    silent = np.zeros((200, 25, 2))
    fitted = SoftmaxRegressions.fit(silent, labels, prior, penalty=2.0).predict(silent[:1])
    weighted = (labels[..., None] == np.arange(3)).mean(axis=(0, 1)) * (1, 2, 4)
    np.testing.assert_allclose(fitted[0, 0], weighted / weighted.sum(), atol=0.03)

    telling = np.stack([labels >= 1, labels >= 2], axis=-1) * 2.0 - 1
    calibration = SoftmaxRegressions.fit(telling, labels, prior, penalty=2.0)
    assert (calibration.predict(telling).argmax(-1) == labels).mean() > 0.99
    calibration.save(tmp_path / "calibration.json", Provenance())
    opened = SoftmaxRegressions.load(tmp_path / "calibration.json", prior)
    np.testing.assert_array_equal(opened.predict(telling[:2]), calibration.predict(telling[:2]))


def test_a_group_without_labels_is_not_calibrated() -> None:
    prior = np.tile([0.6, 0.3, 0.1], (25, 1))
    nothing = np.full((4, 25), EMPTY)
    decisions = RANDOM.normal(size=(4, 25, 2))
    calibration = SoftmaxRegressions.fit(decisions, nothing, prior, penalty=2.0)
    np.testing.assert_allclose(calibration.predict(decisions)[0], prior)
    assert SoftmaxRegressions.fit(decisions[:0], nothing[:0], prior, penalty=2.0).coefficients == {}
