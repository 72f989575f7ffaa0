from pathlib import Path

import numpy as np
from sklearn.svm import SVC

from kitlib.artefacts import Provenance
from kitlib.models.common.svm import RBFSVM, load_machines, save_machines

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
