"""Scenarios of missing sequences: studies as if fewer of their sequences had been acquired.

A sequence is removed with all its slices and its metadata. What is removed depends only on the study, the
scenario and the seed, so every fold and every model sees a study with the same sequences missing.

`random_80` removes each sequence of each study independently, so some studies lose all of theirs: with at
least one kept in each, no more than two thirds could be removed. All shares use the same draws: a sequence
missing at 10 % is missing at 80 %. `half` is the published test: half of each study's sequences, rounded up
or down at random, and never all.
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


_scenario2sequences = {  # each sequence and each pair of sequences, as a mask over SEQUENCES
    "without_" + "_".join(sequence2prefix[one] for one in gone): np.isin(SEQUENCES, gone)
    for gone in (*combinations(SEQUENCES, 1), *combinations(SEQUENCES, 2))
}
scenario2share = {f"random_{share * 100:.0f}": share for share in SHARES}
SCENARIOS = (*_scenario2sequences, *scenario2share, HALF)
"""`without_t1` to `without_t2_axial`, `random_10` to `random_80`, and `half`."""


def ablate(data: Data, scenario: str, seed: int) -> tuple[Data, np.ndarray]:
    """Remove sequences according to a scenario: the remaining data, and a mask (n, 3) of what was removed.

    Raises UsageError on an unknown scenario.
    """
    known_name(scenario, SCENARIOS, "scenario")
    present = data.present
    removed = np.zeros_like(present)
    for row, study_id in enumerate(data.study_ids):
        draws = np.random.default_rng([seed, int(study_id)]).random(len(SEQUENCES) + 1)
        removed[row] = present[row] & _taken(scenario, present[row], draws)
    return data.without(removed), removed


def _taken(scenario: str, present: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Mask (3,) of what a scenario removes from a study that has `present` (3,), given its draws (4,)."""
    if scenario in _scenario2sequences:
        return _scenario2sequences[scenario]
    if scenario in scenario2share:
        return draws[:-1] < scenario2share[scenario]
    count = int(present.sum() / 2 + draws[-1])  # half of three is one or two, at random
    lowest_first = np.argsort(np.where(present, draws[:-1], 2.0))
    taken = np.zeros_like(present)
    taken[lowest_first[: min(count, max(present.sum() - 1, 0))]] = True
    return taken
