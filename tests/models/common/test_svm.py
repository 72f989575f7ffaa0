from pathlib import Path

import numpy as np
from sklearn.svm import SVC

from kitlib.artefacts import Provenance
from kitlib.models.common.svm import RBFSVM, Calibration, load_machines, save_machines
from kitlib.terms import EMPTY

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(40, 5))
POSITIVE = ROWS[:, 0] + RANDOM.normal(0, 0.5, 40) > 0.5
WEIGHTS = np.where(POSITIVE, 2, 1)


def test_a_machine_of_arrays_decides_as_the_library_does(tmp_path: Path) -> None:
    machine = RBFSVM.fit(ROWS, POSITIVE, WEIGHTS, cost=0.7)
    library = SVC(C=0.7, gamma="scale", class_weight="balanced").fit(ROWS, POSITIVE, sample_weight=WEIGHTS)
    np.testing.assert_allclose(machine.decide(ROWS), library.decision_function(ROWS), atol=1e-9)
    path = tmp_path / "machines.safetensors"
    save_machines(path, {"one": [machine, RBFSVM.silent(5)]}, Provenance())
    opened = load_machines(path)["one"]
    np.testing.assert_array_equal(opened[0].decide(ROWS), machine.decide(ROWS))
    assert (opened[1].decide(ROWS) == 0).all()


def test_an_unbalanced_machine_counts_rows_as_they_are() -> None:
    machine = RBFSVM.fit(ROWS, POSITIVE, np.ones(40), cost=0.7, balanced=False)
    library = SVC(C=0.7, gamma="scale").fit(ROWS, POSITIVE)
    np.testing.assert_allclose(machine.decide(ROWS), library.decision_function(ROWS), atol=1e-9)


def test_a_machine_that_saw_one_class_decides_nothing() -> None:
    assert (RBFSVM.fit(ROWS, np.zeros(40, bool), WEIGHTS, cost=1.0).decide(ROWS) == 0).all()


def test_a_calibration_keeps_the_prior_unless_decisions_say_something() -> None:
    prior = np.tile([0.6, 0.3, 0.1], (25, 1))
    labels = RANDOM.choice(3, p=(6 / 8, 3 / 16, 1 / 16), size=(200, 25))
    silent = np.zeros((200, 25, 2))
    fitted = Calibration.fit(silent, labels, prior, penalty=2.0).probabilities(silent[:1])
    weighted = (labels[..., None] == np.arange(3)).mean(axis=(0, 1)) * (1, 2, 4)
    np.testing.assert_allclose(fitted[0, 0], weighted / weighted.sum(), atol=0.03)

    telling = np.stack([labels >= 1, labels >= 2], axis=-1) * 2.0 - 1
    calibration = Calibration.fit(telling, labels, prior, penalty=2.0)
    assert (calibration.probabilities(telling).argmax(-1) == labels).mean() > 0.99
    assert Calibration.from_json(calibration.to_json(), prior).probabilities(telling[:2]).shape == (2, 25, 3)


def test_a_group_without_labels_is_not_calibrated() -> None:
    prior = np.tile([0.6, 0.3, 0.1], (25, 1))
    nothing = np.full((4, 25), EMPTY)
    decisions = RANDOM.normal(size=(4, 25, 2))
    calibration = Calibration.fit(decisions, nothing, prior, penalty=2.0)
    np.testing.assert_allclose(calibration.probabilities(decisions)[0], prior)
    assert Calibration.fit(decisions[:0], nothing[:0], prior, penalty=2.0).coefficients == {}
