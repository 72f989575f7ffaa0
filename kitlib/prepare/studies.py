"""Many prepared studies: their series, their volumes on disk, and their metadata."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from kitlib.artefacts import fingerprint
from kitlib.mri.stack import Stack
from kitlib.mri.study import Series, Study
from kitlib.prepare.volumes import VolumeCache
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES

sequence2prefix = {SAGITTAL_T1: "t1", SAGITTAL_T2: "t2", AXIAL_T2: "axial"}
PREFIXES = list(sequence2prefix.values())
GEOMETRY = ("rows", "columns", "spacing_mm", "step_mm", "view_mm", "covered_mm")
ABSENT = {"present": 0, "series": 0, "stacks": 0, "slices": 0, "series_kind": "0"}
"""Facts known of a sequence that was not acquired."""


@dataclass(frozen=True, eq=False)
class PreparedStudies:
    """Studies whose volumes are cached; `study` opens one, memory-mapped."""

    study_ids: tuple[int, ...]
    series: pd.DataFrame  # study_id, series_id, sequence
    volumes: VolumeCache

    @classmethod
    def build(
        cls,
        series: pd.DataFrame,
        folder: Path,
        *,
        longest_px: int,
        workers: int = 1,
        study_ids: Sequence[int] | None = None,
    ) -> Self:
        """Prepare what is not yet prepared of `series` (as Competition.series), for all or some studies."""
        known = series["study_id"].unique().tolist() if study_ids is None else study_ids
        series, volumes = series[series["study_id"].isin(known)], VolumeCache(folder, longest_px=longest_px)
        volumes.build(series, workers=workers)
        return cls(tuple(int(study_id) for study_id in known), series, volumes)

    def __len__(self) -> int:
        return len(self.study_ids)

    def of(self, study_ids: Sequence[int]) -> Self:
        """A subset of the studies, in that order."""
        series = self.series[self.series["study_id"].isin(study_ids)]
        return replace(self, study_ids=tuple(int(study_id) for study_id in study_ids), series=series)

    def study(self, study_id: int) -> Study:
        """One study with its prepared stacks; without series if none is known."""
        rows = self._rows.get(study_id, self.series[:0])[["series_id", "sequence"]]
        series = (
            Series(
                int(series_id),
                sequence if sequence in SEQUENCES else None,
                tuple(self.volumes.stacks(study_id, series_id)),
            )
            for series_id, sequence in rows.itertuples(index=False)
        )
        return Study(study_id, tuple(series))

    @property
    def keys(self) -> list[tuple[int, int]]:
        """(study_id, series_id) of every series."""
        return list(self.series[["study_id", "series_id"]].itertuples(index=False, name=None))

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """See `study_metadata`."""
        return study_metadata(self.study(study_id) for study_id in self.study_ids)

    @cached_property
    def fingerprint(self) -> str:
        """Changes when an image or its described sequence changes."""
        prints = [self.volumes.fingerprint(*key) for key in self.keys]
        return fingerprint(prints, self.series[["study_id", "series_id", "sequence"]].to_json())

    @cached_property
    def unreadable(self) -> int:
        """How many studies have no readable series: models know only that these are absent."""
        seen = {study_id for study_id, series_id in self.keys if self.volumes.stacks(study_id, series_id)}
        return len(set(self.study_ids) - seen)

    @cached_property
    def _rows(self) -> dict[int, pd.DataFrame]:
        return dict(iter(self.series.groupby("study_id")))


def study_metadata(studies: Iterable[Study]) -> pd.DataFrame:
    """Metadata of each study, without its pixel values: one row per study, NaN where unknown."""
    rows = {study.study_id: _study_row(study) for study in studies}
    index = pd.Index(list(rows), name="study_id", dtype="int64")
    return pd.DataFrame(list(rows.values()), index=index, columns=list(_study_row(Study(0, ()))))


def _study_row(study: Study) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for sequence in SEQUENCES:
        found = _sequence_facts([series.stacks for series in study.series if series.sequence == sequence])
        row |= {f"{sequence2prefix[sequence]}_{name}": value for name, value in found.items()}
    row["axial_series_kind"] = "several" if row["axial_series"] > 1 else str(row["axial_series"])
    row["sequences"] = _acquired([row[f"{prefix}_present"] for prefix in PREFIXES])
    return row


def without_sequences(metadata: pd.DataFrame, removed: np.ndarray, present: np.ndarray) -> pd.DataFrame:
    """Metadata as if the sequences `removed` (n, 3) had not been acquired and only `present` were there."""
    metadata = metadata.copy()
    for name in map(str, metadata):
        prefix, _, fact = name.partition("_")
        if prefix in PREFIXES:
            gone = removed[:, PREFIXES.index(prefix)]
            metadata[name] = metadata[name].mask(gone, ABSENT.get(fact, np.nan))
    if "sequences" in metadata:
        left = [_acquired(there) for there in present]
        metadata["sequences"] = metadata["sequences"].mask(removed.any(axis=1), left)
    return metadata


def _acquired(present: Iterable[bool]) -> str:
    prefixes = [prefix for prefix, there in zip(PREFIXES, present) if there]
    return "+".join(prefixes) or "none"


def _sequence_facts(series_stacks: Sequence[Sequence[Stack]]) -> dict[str, Any]:
    """Facts about one sequence from the stacks of its series; geometry is that of the largest stack."""
    stacks = [stack for of_series in series_stacks for stack in of_series]
    counts = {
        "present": int(bool(stacks)),
        "series": sum(bool(of_series) for of_series in series_stacks),
        "stacks": len(stacks),
        "slices": sum(len(stack) for stack in stacks),
    }
    if not stacks:
        return dict.fromkeys(GEOMETRY, np.nan) | counts | {"numbering": None}
    largest = max(stacks, key=len)
    sides = largest.pixels.shape[1:]
    view_mm = max(side * mm for side, mm in zip(sides, largest.spacing_mm))
    covered_mm = max(float(np.ptp(stack.positions_mm)) for stack in stacks)
    geometry = dict(zip(GEOMETRY, (*sides, max(largest.spacing_mm), largest.step_mm, view_mm, covered_mm)))
    return geometry | counts | {"numbering": _numbering(largest)}


def _numbering(stack: Stack) -> str | None:
    """Whether instance numbers run along the stack (right to left, foot to head) or against it."""
    steps = np.diff(stack.instance_numbers)
    if not len(steps) or (stack.instance_numbers < 0).any():
        return None
    return "along" if (steps > 0).all() else "against" if (steps < 0).all() else "mixed"
