"""Scenarios of missing sequences: what a study would look like had fewer of its sequences been acquired.

A sequence is removed with all its slices, and with what the metadata tell of it. What is removed depends on
the study, the scenario and the seed alone, so every fold and every model sees a study with the same holes.

`random_80` takes each sequence of each study away by a draw of its own, so some studies lose all of theirs:
with at least one kept in each, a share of two thirds is the most there is. The same draws serve all shares:
what is gone at 10 % is gone at 80 %. `half` is the published test: of every study half of what it has,
rounded up or down by chance, and never all.
"""

from itertools import combinations
from typing import TypeVar

import numpy as np

from kitlib.errors import known_name
from kitlib.inputs.base import Dataset
from kitlib.prepare.studies import sequence2prefix
from kitlib.terms import SEQUENCES

Data = TypeVar("Data", bound=Dataset)
SHARES = (0.1, 0.3, 0.5, 0.8)
NOTHING, HALF = "nothing", "half"


_scenario2sequences = {  # every sequence and every two, and which columns they are
    "without_" + "_".join(sequence2prefix[one] for one in gone): np.isin(SEQUENCES, gone)
    for gone in (*combinations(SEQUENCES, 1), *combinations(SEQUENCES, 2))
}
scenario2share = {f"random_{share * 100:.0f}": share for share in SHARES}
SCENARIOS = (*_scenario2sequences, *scenario2share, HALF)
"""`without_t1` to `without_t2_axial`, `random_10` to `random_80`, and `half`."""


def ablate(data: Data, scenario: str, seed: int) -> tuple[Data, np.ndarray]:
    """The studies without what a scenario takes away, and which sequences (n, 3) that was of those they had.

    UsageError on an unknown scenario.
    """
    known_name(scenario, SCENARIOS, "scenario")
    present = data.present
    removed = np.zeros_like(present)
    for row, study_id in enumerate(data.study_ids):
        draws = np.random.default_rng([seed, int(study_id)]).random(len(SEQUENCES) + 1)
        removed[row] = present[row] & _taken(scenario, present[row], draws)
    return data.without(removed), removed


def _taken(scenario: str, present: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """What a scenario takes (3,) from a study that has `present` (3,), by its draws (4,)."""
    if scenario in _scenario2sequences:
        return _scenario2sequences[scenario]
    if scenario in scenario2share:
        return draws[:-1] < scenario2share[scenario]
    count = int(present.sum() / 2 + draws[-1])  # half of three is one or two, by chance
    lowest_first = np.argsort(np.where(present, draws[:-1], 2.0))
    taken = np.zeros_like(present)
    taken[lowest_first[: min(count, max(present.sum() - 1, 0))]] = True
    return taken
