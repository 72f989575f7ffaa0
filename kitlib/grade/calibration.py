"""How often severities are: where a network learned, and where it grades.

Severities are evened out where networks learn, and a view does not tell its level. By Bayes' rule what it
tells is weighed by how often each severity is at the level (Saerens, Neural Computation 2002).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kitlib.terms import CELLS, SEVERITIES

ON_PATIENTS = 1.8
"""The temperature where phantoms were learnt from, which are clearer than patients. Chosen on open studies
(docs/grading_trials.md)."""
_is_alike = np.equal.outer([cell.group for cell in CELLS], [cell.group for cell in CELLS])  # (25, 25)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What turns what a network tells into probabilities where severities are as frequent as usual.

    >>> calibration = Calibration(np.full((25, 3), 1 / 3), np.tile([0.8, 0.15, 0.05], (25, 1)))
    >>> calibration.of_views[0].round(2).tolist()
    [0.88, -0.8, -1.9]
    """

    learnt: np.ndarray  # (25, 3) frequencies of severities by cell, in what was learnt from
    usual: np.ndarray  # (25, 3) and where grades are wanted
    temperature: float = 1.0

    @property
    def of_views(self) -> np.ndarray:
        """What to add to logits of a single view, by its cell (25, 3): the view does not tell its level."""
        of_all_levels = _is_alike @ self.learnt / _is_alike.sum(axis=1, keepdims=True)
        return np.log(self.usual / of_all_levels)

    def facts(self) -> dict[str, Any]:
        """As JSON keeps it beside a network's weights."""
        frequencies = {"learnt": self.learnt.round(6).tolist(), "usual": self.usual.round(6).tolist()}
        return {**frequencies, "temperature": self.temperature}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """What `facts` gave."""
        frequencies = np.array(facts["learnt"]), np.array(facts["usual"])
        return cls(*frequencies, temperature=facts["temperature"])


EVEN = np.full((len(CELLS), len(SEVERITIES)), 1 / len(SEVERITIES))
AS_LEARNT = Calibration(EVEN, EVEN)
"""What changes nothing."""


def frequencies_of(cells: np.ndarray, severities: np.ndarray) -> np.ndarray:
    """Frequencies (25, 3) of the severities of places (n,), indices into CELLS: all levels of a kind as one.

    One place of each severity is counted with those that there are.
    """
    counts = np.zeros((len(CELLS), len(SEVERITIES)))
    np.add.at(counts, (cells, severities), 1)
    of_all_levels = _is_alike @ counts + 1
    return of_all_levels / of_all_levels.sum(axis=1, keepdims=True)
