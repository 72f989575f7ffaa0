from pathlib import Path

import numpy as np
from sklearn.svm import SVC

from kitlib.artefacts import Provenance
from kitlib.models.svc import Machine

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(40, 5))
POSITIVE = ROWS[:, 0] + RANDOM.normal(0, 0.5, 40) > 0.5
WEIGHTS = np.where(POSITIVE, 2, 1)


def test_a_machine_of_arrays_decides_as_the_library_does(tmp_path: Path) -> None:
    machine = Machine.fit(ROWS, POSITIVE, WEIGHTS, cost=0.7)
    library = SVC(C=0.7, gamma="scale", class_weight="balanced").fit(ROWS, POSITIVE, sample_weight=WEIGHTS)
    np.testing.assert_allclose(machine.decide(ROWS), library.decision_function(ROWS), atol=1e-9)
    machine.save(tmp_path / "machine.npy", Provenance())
    np.testing.assert_array_equal(Machine.load(tmp_path / "machine.npy").decide(ROWS), machine.decide(ROWS))


def test_a_machine_that_saw_one_class_decides_nothing() -> None:
    assert (Machine.fit(ROWS, np.zeros(40, bool), WEIGHTS, cost=1.0).decide(ROWS) == 0).all()
