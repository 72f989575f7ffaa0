"""What embeddings encode: which slices are nearest neighbours, and whether severity shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from kitlib.evaluate.attention import StacksOf, along_axis
from kitlib.terms import EMPTY, SEVERITIES, Cell, group2sequence

SAME_CENTRE_MM = 0.1
"""Centres are kept in double precision: one further away belongs to another slice."""
MOST_COMPARED = 2000


@dataclass(frozen=True, eq=False)
class SliceTable:
    """All slices of all studies in one table."""

    vectors: np.ndarray  # (n, d) float32
    facts: pd.DataFrame  # n rows: facts about each slice; position_mm is relative to the stack's middle


class Placed(Protocol):
    """Slices of one sequence of one study, as in `embed.tokens.Tokens`."""

    @property
    def vectors(self) -> np.ndarray:
        """(n, d)."""

    @property
    def positions_mm(self) -> np.ndarray:
        """(n, 3): patient positions of the slices' centres."""


def slice_table(study_ids: np.ndarray, tokens: Mapping[str, Sequence[Placed]]) -> SliceTable:
    """Collect the slices of all studies; `tokens` has, by sequence, those of each study."""
    vectors, facts = [], []
    for sequence, studies in tokens.items():
        for study_id, slices in zip(study_ids, studies):
            vectors.append(slices.vectors)
            position_mm = along_axis(sequence, slices.positions_mm)
            middle_mm = (position_mm.min() + position_mm.max()) / 2 if len(position_mm) else 0
            columns = {"study_id": study_id, "sequence": sequence, "position_mm": position_mm - middle_mm}
            facts.append(pd.DataFrame(columns))
    return SliceTable(np.concatenate(vectors), pd.concat(facts, ignore_index=True))


def annotated_slices(
    study_ids: np.ndarray,
    tokens: Mapping[str, Sequence[Placed]],
    landmarks: pd.DataFrame,
    labels: pd.DataFrame,
    stacks_of: StacksOf,
) -> SliceTable:
    """The slices that hold a landmark on the sequence of its condition, with the severity of its cell.

    Facts: study_id, group, level, severity; a slice occurs once for each of its landmarks. Landmarks without
    a label, or on a slice that was not embedded, are left out.
    """
    study2row = {int(study_id): row for row, study_id in enumerate(study_ids)}
    vectors, facts = [], []
    for key, points in landmarks[landmarks["study_id"].isin(study2row)].groupby(["study_id", "series_id"]):
        study_id, series_id = cast(tuple[int, int], key)
        number2centre_mm = {
            int(number): centre_mm
            for stack in stacks_of(study_id, series_id)
            for number, centre_mm in zip(stack.instance_numbers, stack.centres_mm)
        }
        for point in points.itertuples():
            cell = Cell(str(point.condition), str(point.level))
            slices = tokens[group2sequence[cell.group]][study2row[study_id]]
            index = _slice_at(slices, number2centre_mm.get(int(cast(int, point.instance_number))))
            code = int(cast(int, labels.at[study_id, cell.name]))
            if index is None or code == EMPTY:
                continue
            vectors.append(slices.vectors[index])
            facts.append((study_id, cell.group, cell.level, SEVERITIES[code]))
    table = pd.DataFrame(facts, columns=["study_id", "group", "level", "severity"])
    return SliceTable(np.stack(vectors) if vectors else np.zeros((0, 2), np.float32), table)


def _slice_at(slices: Placed, centre_mm: np.ndarray | None) -> int | None:
    """Index of the slice with this centre, or None."""
    if centre_mm is None or not len(slices.positions_mm):
        return None
    away_mm = np.linalg.norm(slices.positions_mm - centre_mm, axis=1)
    return int(away_mm.argmin()) if away_mm.min() < SAME_CENTRE_MM else None


def principal_map(vectors: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """The first two principal components (n, 2) of vectors (n, d); zeros if n < 3 or all are equal."""
    if len(vectors) < 3 or not np.ptp(vectors, axis=0).any():
        return np.zeros((len(vectors), 2))
    return PCA(2, random_state=seed).fit_transform(np.asarray(vectors, dtype=np.float64))


def neighbour_check(slices: SliceTable, *, seed: int = 0) -> pd.DataFrame:
    """How similar each slice is to its nearest neighbour in another study, compared with a random slice.

    Rows `nearest` and `by chance`; columns `same sequence` (share) and, among those, `median distance (mm)`
    along the stack. At most MOST_COMPARED slices are compared, sampled with the seed.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(slices.facts))[:MOST_COMPARED])
    facts = slices.facts.iloc[chosen].reset_index(drop=True)
    studies = facts["study_id"].to_numpy()
    elsewhere = (np.flatnonzero(studies != study_id) for study_id in studies)
    drawn = [int(rng.choice(others)) if len(others) else -1 for others in elsewhere]
    partners = {
        "nearest": nearest_elsewhere(slices.vectors[chosen], studies),
        "by chance": np.array(drawn, dtype=int),
    }
    return pd.DataFrame({name: _alike(facts, partner) for name, partner in partners.items()}).T


def _alike(facts: pd.DataFrame, partner: np.ndarray) -> dict[str, float]:
    paired = partner >= 0
    own, other = facts[paired].reset_index(drop=True), facts.iloc[partner[paired]].reset_index(drop=True)
    same = own["sequence"] == other["sequence"]
    apart_mm = (own["position_mm"] - other["position_mm"]).abs()[same]
    return {"same sequence": float(same.mean()), "median distance (mm)": float(apart_mm.median())}


def nearest_elsewhere(vectors: np.ndarray, study_ids: np.ndarray) -> np.ndarray:
    """For each vector, the index of the most similar one (cosine) in another study; -1 if there is none.

    Neighbours in the same study would only show that a study resembles itself.
    """
    if not len(vectors):
        return np.empty(0, dtype=int)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.asarray(vectors, dtype=np.float32) / np.maximum(lengths, 1e-12)
    likeness = np.where(study_ids[:, None] == study_ids[None], -np.inf, unit @ unit.T)
    return np.where(np.isfinite(likeness.max(axis=1)), likeness.argmax(axis=1), -1)


def severity_neighbours(slices: SliceTable) -> pd.DataFrame:
    """How often the nearest annotated slice of another study is narrow too, by condition group.

    Columns: slices, narrow (share with Moderate or Severe, the chance level) and, for narrow slices and for
    the others, the share whose nearest neighbour is narrow.
    """
    rows = {}
    for group, facts in slices.facts.groupby("group", sort=False):
        narrow = facts["severity"].ne(SEVERITIES[0]).to_numpy()
        nearest = nearest_elsewhere(slices.vectors[facts.index], facts["study_id"].to_numpy())
        beside = pd.Series(np.where(nearest >= 0, narrow[nearest], np.nan))
        rows[group] = {
            "slices": len(facts),
            "narrow": narrow.mean(),
            "beside a narrow one": beside[narrow].mean(),
            "beside another": beside[~narrow].mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
