"""A study: the series of one examination, each with its stacks, and the sequences that it lacks."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np

from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.stack import Plane, Stack
from kitlib.terms import CELLS, SEQUENCES, group2sequence, row_id


@dataclass(frozen=True, eq=False)
class Series:
    """One acquisition; `sequence` is one of SEQUENCES, or None if unknown."""

    series_id: int
    sequence: str | None
    stacks: tuple[Stack, ...]  # those with most slices first; () if nothing could be read

    def slice_at(self, point_mm: np.ndarray) -> "SliceAt | None":
        """The slice nearest to a patient position (3,), of the stacks that contain it; None if none does.

        Of repeated slices at the same position, the first by instance number.
        """
        found = (_slice_at(self, stack, point_mm) for stack in self.stacks)
        return min(filter(None, found), key=lambda shown: shown.rank, default=None)

    def instance(self, number: float) -> tuple[Stack, int] | None:
        """The stack that contains an instance number, and the slice's index in it; None if none does."""
        found = ((stack, np.flatnonzero(stack.instance_numbers == number)) for stack in self.stacks)
        return next(((stack, int(indices[0])) for stack, indices in found if len(indices)), None)


@dataclass(frozen=True, eq=False)
class SliceAt:
    """The slice of a study that shows a position."""

    series: Series
    stack: Stack
    index: int  # of the slice in its stack
    xy: np.ndarray  # (2,) column and row of the position, in pixels
    away_mm: float = 0.0  # from the slice to the position

    @classmethod
    def closest(cls, series: Series, stack: Stack, index: int, point_mm: np.ndarray) -> "SliceAt":
        """A slice, at its pixel closest to a patient position (3,)."""
        closest_mm = stack.closest_mm(point_mm, index)
        away_mm = float(np.linalg.norm(closest_mm - point_mm))
        return cls(series, stack, index, stack.to_pixel(closest_mm)[:2], away_mm)

    @property
    def point_mm(self) -> np.ndarray:
        """The patient position (3,) of the pixel."""
        return self.stack.to_patient(self.xy[0], self.xy[1], self.index)

    @property
    def instance_number(self) -> int:
        """The slice's instance number, -1 if unknown."""
        return int(self.stack.instance_numbers[self.index])

    @property
    def rank(self) -> tuple[float, int]:
        """Sort key: the lowest of several slices shows the position best."""
        return round(self.away_mm, 6), self.instance_number


@dataclass(frozen=True, eq=False)
class Study:
    """All series of a study, in memory.

    >>> from kitlib.phantom.study import draw_study
    >>> study = draw_study(7, seed=1, size="smoke").study
    >>> study.sequences
    ('Sagittal T1', 'Sagittal T2/STIR', 'Axial T2')
    >>> (stack,) = study.stacks("Sagittal T2/STIR")
    >>> stack.plane, study.without(["Axial T2"]).of_plane("axial")
    ('sagittal', [])
    >>> shown = study.without(["Sagittal T1"]).slice_at(stack.to_patient(10, 20, 3))
    >>> shown.series.sequence, shown.index, shown.xy.round(1).tolist()
    ('Sagittal T2/STIR', 3, [10.0, 20.0])
    """

    study_id: int
    series: tuple[Series, ...]

    @property
    def sequences(self) -> tuple[str, ...]:
        """The sequences with at least one image, in the order of SEQUENCES."""
        shown = {series.sequence for series in self.series if series.stacks}
        return tuple(sequence for sequence in SEQUENCES if sequence in shown)

    def stacks(self, sequence: str) -> list[Stack]:
        """The stacks of a sequence, over all its series."""
        return [stack for series in self.series if series.sequence == sequence for stack in series.stacks]

    def of_plane(self, plane: Plane) -> list[tuple[Series, Stack]]:
        """The stacks of a plane with their series, in the order of the series."""
        return [(series, stack) for series in self.series for stack in series.stacks if stack.plane == plane]

    def without(self, sequences: Collection[str]) -> "Study":
        """The study as if some sequences had not been acquired."""
        kept = tuple(series for series in self.series if series.sequence not in sequences)
        return replace(self, series=kept)

    def slice_at(self, point_mm: np.ndarray) -> SliceAt | None:
        """The slice of any series nearest to a patient position (3,); see `Series.slice_at`."""
        found = (series.slice_at(point_mm) for series in self.series)
        return min(filter(None, found), key=lambda shown: shown.rank, default=None)

    def nearest(self, sequence: str, point_mm: np.ndarray) -> SliceAt | None:
        """The slice of a sequence closest to a patient position (3,), which may lie outside it.

        `xy` is the closest pixel. None if there is no image of the sequence.
        """
        found = [
            SliceAt.closest(
                series, stack, int(np.abs(stack.positions_mm - point_mm @ stack.normal).argmin()), point_mm
            )
            for series in self.series
            if series.sequence == sequence
            for stack in series.stacks
        ]
        return min(found, key=lambda shown: shown.rank, default=None)

    def instance(self, series_id: int, number: float) -> tuple[Stack, int] | None:
        """The stack and slice index of a series' instance number; None if the study lacks it."""
        found = (series.instance(number) for series in self.series if series.series_id == series_id)
        return next(filter(None, found), None)


def note_missing_sequences(study_id: int, readable: Iterable[str], ledger: Ledger) -> None:
    """Record a fault for each sequence that a study lacks, with the rows graded on it."""
    readable = set(readable)
    for sequence in (sequence for sequence in SEQUENCES if sequence not in readable):
        rows, detail = rows_graded_on(sequence, study_id), f"no {sequence}"
        ledger.add(Fault("study.sequence", "study read without it", study_id, detail=detail, row_ids=rows))


def rows_graded_on(sequence: str | None, study_id: int) -> tuple[str, ...]:
    """The rows of a study whose conditions are graded on a sequence."""
    return tuple(row_id(study_id, cell) for cell in CELLS if group2sequence[cell.group] == sequence)


def rows_in_doubt(study: Study, faults: Iterable[Fault]) -> tuple[str, ...]:
    """The rows of a study that are graded on a series that one of the faults leaves in doubt.

    A fault without a series id applies to all series.

    >>> from kitlib.phantom.study import draw_study
    >>> study = draw_study(7, seed=1, size="smoke").study
    >>> doubt = Fault("slice.sign", "slice kept", study.study_id, study.series[0].series_id)
    >>> study.series[0].sequence, len(rows_in_doubt(study, [doubt]))
    ('Sagittal T1', 10)
    """
    doubted = {fault.series_id for fault in faults if fault.doubts and fault.study_id == study.study_id}
    read = {one.sequence for one in study.series if one.stacks and doubted & {one.series_id, None}}
    return tuple(
        row for sequence in SEQUENCES if sequence in read for row in rows_graded_on(sequence, study.study_id)
    )


def _slice_at(series: Series, stack: Stack, point_mm: np.ndarray) -> SliceAt | None:
    col, row, depth = stack.to_pixel(point_mm)
    count, height, width = stack.pixels.shape
    if not (0 <= col <= width - 1 and 0 <= row <= height - 1 and -0.5 <= depth <= count - 0.5):
        return None
    away_mm = np.abs(stack.positions_mm - point_mm @ stack.normal)
    index = int(away_mm.argmin())
    return SliceAt(series, stack, index, np.array([col, row]), float(away_mm[index]))
