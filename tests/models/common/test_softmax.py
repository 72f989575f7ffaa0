import numpy as np

from kitlib.models.common.softmax import fit_softmax, softmax

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(400, 2))
TRUE_LOGITS = np.stack([np.zeros(400), 2 * ROWS[:, 0], -2 * ROWS[:, 0]], axis=1)
SEVERITIES = np.array([RANDOM.choice(3, p=row) for row in softmax(TRUE_LOGITS)])
OFFSETS = np.zeros((400, 3))


def test_rows_sum_to_one_at_any_size() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e5, 0, -1e5], [0, 0, 0]])), [[1, 0, 0], [1 / 3] * 3])


def test_the_relation_is_found() -> None:
    coefficients = fit_softmax(ROWS, OFFSETS, SEVERITIES, penalty=0.1)
    assert coefficients[0, 1] - coefficients[0, 0] > 1
    assert abs(coefficients[1]).max() < 0.5


def test_the_penalty_leads_back_to_the_offsets() -> None:
    assert abs(fit_softmax(ROWS, OFFSETS, SEVERITIES, penalty=1e9)).max() < 1e-3
