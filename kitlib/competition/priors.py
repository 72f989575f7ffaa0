"""The baseline that uses no image: how often each severity occurs at each level."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from kitlib.competition.submission import to_rows
from kitlib.errors import ArtefactError
from kitlib.terms import CELL_NAMES, CELLS, GROUPS, LEVELS, SEVERITY_WEIGHTS


@dataclass(frozen=True, eq=False)
class Prior:
    """Weighted frequencies of the severities (labels weigh 1/2/4), per condition group and level.

    >>> prior = Prior.fit(find_root("competition").train_labels())
    >>> prior.predict([4003253]).shape  # the same 25 rows for every study
    (25, 3)
    """

    probabilities: np.ndarray  # (25, 3), in the order of CELLS

    @classmethod
    def fit(cls, labels: pd.DataFrame) -> Self:
        """Fit on labels (as `Competition.train_labels`), pooling left and right; empty cells do not count.

        Counts are smoothed: one pseudo-label of 1/3 per severity is added to each group, and one with the
        group's frequencies to each level. So a severity not seen in a small table stays possible, and a level
        without labels gets its group's frequencies.
        """
        codes = labels[list(CELL_NAMES)].to_numpy()
        counts = np.stack([(codes == code).sum(axis=0) for code in range(3)], axis=1) * SEVERITY_WEIGHTS
        probabilities = np.empty((len(CELLS), 3))
        for group in GROUPS:
            in_group = np.array([cell.group == group for cell in CELLS])
            frequencies = _frequencies(counts[in_group], np.full(3, 1 / 3))
            for level in LEVELS:
                pooled = in_group & [cell.level == level for cell in CELLS]
                probabilities[pooled] = _frequencies(counts[pooled], frequencies)
        return cls(probabilities)

    def predict(self, study_ids: Iterable[int]) -> pd.DataFrame:
        """Predict the same 25 rows for every study."""
        study_ids = list(study_ids)
        return to_rows(study_ids, np.tile(self.probabilities, (len(study_ids), 1, 1)))

    def to_json(self) -> dict[str, list[float]]:
        """JSON-able values: three probabilities by cell name."""
        return dict(zip(CELL_NAMES, self.probabilities.tolist()))

    @classmethod
    def from_json(cls, values: Mapping[str, list[float]]) -> Self:
        """The inverse of `to_json`; raises ArtefactError if a cell is missing or not a distribution."""
        try:
            probabilities = np.array([values[name] for name in CELL_NAMES], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(f"not a prior: {error!r}", hint="Fit it again.") from error
        if probabilities.shape != (len(CELLS), 3) or not np.allclose(probabilities.sum(axis=1), 1):
            raise ArtefactError("not a prior: a cell is not a distribution", hint="Fit it again.")
        return cls(probabilities)


def _frequencies(counts: np.ndarray, added: np.ndarray) -> np.ndarray:
    total = counts.sum(axis=0) + added
    return total / total.sum()
