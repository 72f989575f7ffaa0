"""Frequencies of severities in training and in use, and the correction between them.

Networks are trained on balanced severities, and a view does not show its level. By Bayes' rule predictions
are reweighted by the frequency of each severity at the level (Saerens, Neural Computation 2002).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kitlib.terms import CELLS, SEVERITIES

ON_PATIENTS = 1.8
"""Temperature of networks trained on phantoms, which are clearer than patients. Chosen on open studies
(docs/grading_trials.md)."""
_is_alike = np.equal.outer([cell.group for cell in CELLS], [cell.group for cell in CELLS])  # (25, 25)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Corrects a network's predictions from the training frequencies of severities to the usual ones.

    >>> calibration = Calibration(np.full((25, 3), 1 / 3), np.tile([0.8, 0.15, 0.05], (25, 1)))
    >>> calibration.of_views[0].round(2).tolist()
    [0.88, -0.8, -1.9]
    """

    learnt: np.ndarray  # (25, 3) frequencies of severities by cell in the training data
    usual: np.ndarray  # (25, 3) the same in the data to grade
    temperature: float = 1.0

    @property
    def of_views(self) -> np.ndarray:
        """Offsets (25, 3) for the logits of a single view, by its cell: a view does not show its level."""
        of_all_levels = _is_alike @ self.learnt / _is_alike.sum(axis=1, keepdims=True)
        return np.log(self.usual / of_all_levels)

    def facts(self) -> dict[str, Any]:
        """Return the calibration as JSON values, to save beside a network's weights."""
        frequencies = {"learnt": self.learnt.round(6).tolist(), "usual": self.usual.round(6).tolist()}
        return {**frequencies, "temperature": self.temperature}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Invert `facts`."""
        frequencies = np.array(facts["learnt"]), np.array(facts["usual"])
        return cls(*frequencies, temperature=facts["temperature"])


EVEN = np.full((len(CELLS), len(SEVERITIES)), 1 / len(SEVERITIES))
AS_LEARNT = Calibration(EVEN, EVEN)
"""The identity: probabilities stay unchanged."""


def frequencies_of(cells: np.ndarray, severities: np.ndarray) -> np.ndarray:
    """Estimate frequencies (25, 3) of severities from places (n,), indices into CELLS, pooled over levels.

    One extra place of each severity is counted (Laplace smoothing).
    """
    counts = np.zeros((len(CELLS), len(SEVERITIES)))
    np.add.at(counts, (cells, severities), 1)
    of_all_levels = _is_alike @ counts + 1
    return of_all_levels / of_all_levels.sum(axis=1, keepdims=True)
