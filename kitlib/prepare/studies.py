"""Many studies, prepared: their series, their volumes on disk, and what headers tell of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import pandas as pd

from kitlib.artefacts import fingerprint
from kitlib.mri.study import Series, Study
from kitlib.prepare.tabular import study_metadata
from kitlib.prepare.volumes import VolumeCache
from kitlib.terms import SEQUENCES


@dataclass(frozen=True, eq=False)
class PreparedStudies:
    """Studies whose volumes lie in a cache; `study` opens one, memory-mapped."""

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
        """Prepare what is not prepared yet of `series` (as Competition.series); all its studies, or those."""
        volumes = VolumeCache(folder, longest_px=longest_px)
        volumes.build(series, workers=workers)
        known = series["study_id"].unique().tolist() if study_ids is None else study_ids
        return cls(tuple(int(study_id) for study_id in known), series, volumes)

    def __len__(self) -> int:
        return len(self.study_ids)

    def of(self, study_ids: Sequence[int]) -> Self:
        """Some of the studies, in that order."""
        series = self.series[self.series["study_id"].isin(study_ids)]
        return replace(self, study_ids=tuple(int(study_id) for study_id in study_ids), series=series)

    def study(self, study_id: int) -> Study:
        """One study with its prepared stacks; without a series where none is known."""
        return Study(
            study_id,
            tuple(
                Series(
                    series_id,
                    sequence if sequence in SEQUENCES else None,
                    tuple(self.volumes.stacks(study_id, series_id)),
                )
                for series_id, sequence in self._rows.get(study_id, [])
            ),
        )

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
        """Changes when an image, or what is said of one, does."""
        prints = [self.volumes.fingerprint(*key) for key in self.keys]
        return fingerprint(prints, self.series[["study_id", "series_id", "sequence"]].to_json())

    @cached_property
    def unreadable(self) -> int:
        """How many studies have no series that could be read: of these, models know the absence alone."""
        seen = {study_id for study_id, series_id in self.keys if self.volumes.stacks(study_id, series_id)}
        return len(set(self.study_ids) - seen)

    @cached_property
    def _rows(self) -> dict[int, list[tuple[int, str]]]:
        rows: dict[int, list[tuple[int, str]]] = {}
        for study_id, series_id, sequence in self.series[["study_id", "series_id", "sequence"]].itertuples(
            index=False
        ):
            rows.setdefault(int(study_id), []).append((int(series_id), sequence))
        return rows
