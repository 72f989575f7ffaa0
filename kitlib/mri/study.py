"""A study: the series of one patient's examination, each with its stacks, and what the study lacks."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kitlib.errors import SliceError
from kitlib.mri.dicom.tags import Tags, read_tags
from kitlib.mri.identity import strangers
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.naming import Told, in_plane, plane2sequences, told_by_planes, told_by_tags
from kitlib.mri.series import Source, files_of, read_series
from kitlib.mri.stack import Plane, Stack
from kitlib.terms import CELLS, SEQUENCES, group2sequence, row_id

Prepare = Callable[[list[Stack]], list[Stack]]
"""What is done to the stacks of a series once they are read."""

FEWEST = 3  # slices of a series: in the competition 8 of sagittal ones and 5 of axial ones at the least
BY_PIXELS, BY_PLANE = "by its pixels", "the only one of its plane that no other series is"
TellByPixels = Callable[["Study"], Mapping[int, str]]
"""The sequences of series, by id, as far as pixels tell; the study has those that are known already."""


@dataclass(frozen=True, eq=False)
class Series:
    """One acquisition; `sequence` is one of SEQUENCES, or None where nobody says which it is."""

    series_id: int
    sequence: str | None
    stacks: tuple[Stack, ...]  # those of most slices first; () where nothing could be read

    def slice_at(self, point_mm: np.ndarray) -> "SliceAt | None":
        """The slice nearest to a patient position (3,), of the stacks that hold it; None where none does.

        Of slices acquired again at the same position, the first by instance number.
        """
        found = (_slice_at(self, stack, point_mm) for stack in self.stacks)
        return min(filter(None, found), key=lambda shown: shown.rank, default=None)

    def instance(self, number: float) -> tuple[Stack, int] | None:
        """The stack that holds an instance and the slice's index there; None where the series lacks it."""
        found = ((stack, np.flatnonzero(stack.instance_numbers == number)) for stack in self.stacks)
        return next(((stack, int(indices[0])) for stack, indices in found if len(indices)), None)


@dataclass(frozen=True, eq=False)
class SliceAt:
    """The slice of a study that shows a position."""

    series: Series
    stack: Stack
    index: int  # of the slice in its stack
    xy: np.ndarray  # (2,) column and row of the position, in pixels
    away_mm: float = 0.0  # from the slice to the position, along the normal

    @property
    def instance_number(self) -> int:
        """The slice's instance number, -1 where it is unknown."""
        return int(self.stack.instance_numbers[self.index])

    @property
    def rank(self) -> tuple[float, int]:
        """The least of several slices shows the position best."""
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
        """The sequences of which there is an image, in the order of SEQUENCES."""
        shown = {series.sequence for series in self.series if series.stacks}
        return tuple(sequence for sequence in SEQUENCES if sequence in shown)

    def stacks(self, sequence: str) -> list[Stack]:
        """The stacks of a sequence, its series end to end."""
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

    def instance(self, series_id: int, number: float) -> tuple[Stack, int] | None:
        """The stack and the index of a series' instance; None where the study lacks it."""
        found = (series.instance(number) for series in self.series if series.series_id == series_id)
        return next(filter(None, found), None)


def read_study(
    study_id: int,
    rows: pd.DataFrame,
    ledger: Ledger,
    *,
    prepare: Prepare | None = None,
    tell: TellByPixels | None = None,
) -> Study:
    """Read the series that `rows` (series_id, sequence, folder) list; bad data never raises.

    A `folder` may be the files of the series instead. A `sequence` that is none of SEQUENCES is told by tags,
    then by `tell`, then by the plane, where that leaves one choice; what lies in another plane than its
    sequence is left out. `prepare` is applied to each series before the next is read: a study of reduced
    stacks never lies whole in memory.

    >>> rows = pd.DataFrame({"series_id": [4], "sequence": ["Axial T2"], "folder": ["no/such/folder"]})
    >>> ledger = Ledger()
    >>> read_study(7, rows, ledger).sequences
    ()
    >>> ledger.table()["detail"].tolist()[:2]
    ['no folder to read: FileNotFoundError', 'no Sagittal T1']
    """
    series, tags = [], {}
    for series_id, sequence, source in rows[["series_id", "sequence", "folder"]].itertuples(index=False):
        stacks = read_series(source, ledger, study_id=study_id, series_id=int(series_id))
        found = Series(int(series_id), sequence if sequence in SEQUENCES else None, tuple(stacks))
        if stacks:
            tags[found.series_id] = _tags_of(source, stacks[0])
        found = _in_plane(found, study_id, ledger)
        _note_few_slices(found, study_id, ledger)
        series.append(replace(found, stacks=tuple(prepare([*found.stacks]))) if prepare else found)
    study = _of_one_patient(Study(study_id, tuple(series)), tags, ledger)
    study = _named(study, tags, ledger, tell)
    note_missing_sequences(study_id, study.sequences, ledger)
    return study


def note_missing_sequences(study_id: int, readable: Iterable[str], ledger: Ledger) -> None:
    """A fault for each sequence that a study lacks, with the rows of the conditions graded on it."""
    readable = set(readable)
    for sequence in (sequence for sequence in SEQUENCES if sequence not in readable):
        rows, detail = rows_graded_on(sequence, study_id), f"no {sequence}"
        ledger.add(Fault("study.sequence", "study read without it", study_id, detail=detail, row_ids=rows))


def rows_graded_on(sequence: str | None, study_id: int) -> tuple[str, ...]:
    """The rows of a study whose conditions are graded on a sequence."""
    return tuple(row_id(study_id, cell) for cell in CELLS if group2sequence[cell.group] == sequence)


def rows_in_doubt(study: Study, faults: Iterable[Fault]) -> tuple[str, ...]:
    """The rows of a study that are graded on a series whose images one of the faults leaves in doubt.

    A fault without a series doubts all of them.

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


def _note_few_slices(series: Series, study_id: int, ledger: Ledger) -> None:
    if 0 < (count := sum(map(len, series.stacks))) < FEWEST:
        ledger.add(
            Fault("series.few_slices", "slices kept", study_id, series.series_id, detail=f"{count} in all")
        )


def _tags_of(source: Source, stack: Stack) -> Tags:
    """What a file of the series' largest stack says of its acquisition."""
    for path in files_of(source):
        if path.name in stack.files:
            with contextlib.suppress(SliceError):
                return read_tags(path)
    return Tags()


def _of_one_patient(study: Study, tags: Mapping[int, Tags], ledger: Ledger) -> Study:
    """The study without the series of another study or patient than most are."""
    owners = [(tags[key].study_uid, tags[key].patient_id) for key in tags]
    is_odd, is_undecided = strangers(owners)
    others = [key for key, odd in zip(tags, is_odd) if odd]
    for key in others:
        detail = "of another study or patient than most series of the study"
        ledger.add(Fault("series.stranger", "series left out", study.study_id, key, detail=detail))
    if is_undecided:
        detail = "series of several studies or patients, none of which has most"
        ledger.add(Fault("study.strangers", "series kept", study.study_id, detail=detail))
    series = (replace(one, stacks=()) if one.series_id in others else one for one in study.series)
    return replace(study, series=tuple(series))


def _in_plane(series: Series, study_id: int, ledger: Ledger) -> Series:
    """The series without the stacks that cannot be of its sequence."""
    kept, faults = in_plane(series.stacks, series.sequence)
    ledger.extend(replace(fault, study_id=study_id, series_id=series.series_id) for fault in faults)
    return replace(series, stacks=tuple(kept))


def _named(study: Study, tags: Mapping[int, Tags], ledger: Ledger, tell: TellByPixels | None) -> Study:
    """The study whose undescribed series are named as far as tags, pixels or their plane tell."""
    told = {
        series.series_id: _told(series, tags[series.series_id])
        for series in study.series
        if series.sequence is None and series.stacks
    }
    study = _with(study, told)
    if tell and not all(told.values()):
        by_pixels = tell(study)
        unsure = [key for key in by_pixels if told.get(key, True) is None]
        told |= {key: Told(by_pixels[key], BY_PIXELS) for key in unsure}
        study = _with(study, told)
    known = {series.sequence for series in study.series}
    for series in study.series:
        if told.get(series.series_id, True) is None:
            told[series.series_id] = _by_elimination(series, known)
    named = _with(study, told)
    for key, verdict in told.items():
        action = f"taken as {verdict.sequence}" if verdict and verdict.sequence else "left out"
        why = verdict.why if verdict else "neither tags nor pixels nor its plane tell its sequence"
        ledger.add(Fault("series.undescribed", action, study.study_id, key, detail=why))
    return replace(named, series=tuple(_in_plane(series, study.study_id, ledger) for series in named.series))


def _told(series: Series, tags: Tags) -> Told | None:
    plane, refused = told_by_planes(series.stacks)
    return refused or told_by_tags(tags, plane)


def _by_elimination(series: Series, known: Collection[str | None]) -> Told | None:
    """The one sequence of the series' plane that no other series is, if there is one."""
    plane, _ = told_by_planes(series.stacks)
    lacking = [sequence for sequence in plane2sequences[plane] if sequence not in known]
    return Told(lacking[0], BY_PLANE) if len(lacking) == 1 else None


def _with(study: Study, told: Mapping[int, Told | None]) -> Study:
    """The study with what was told of its series; one that is certainly not to be read has no stack left."""
    series = []
    for one in study.series:
        if verdict := told.get(one.series_id):
            one = replace(one, sequence=verdict.sequence, stacks=one.stacks if verdict.sequence else ())
        series.append(one)
    return replace(study, series=tuple(series))
