"""Read a study series by series, identify undescribed series, and leave out what does not belong."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from kitlib.errors import SliceError
from kitlib.mri.dicom.tags import Tags, read_tags
from kitlib.mri.identity import strangers
from kitlib.mri.ledger import Fault, Ledger, as_text
from kitlib.mri.looks import digests, odd_looks
from kitlib.mri.naming import Identification, identified_by_tags, in_plane, main_plane, plane2sequences
from kitlib.mri.series import Source, files_of, read_series
from kitlib.mri.stack import Stack
from kitlib.mri.study import Series, Study, note_missing_sequences
from kitlib.terms import SEQUENCES

Prepare = Callable[[list[Stack]], list[Stack]]
"""Applied to the stacks of a series once they are read."""

FEWEST = 3  # slices of a series: in the competition sagittal series have at least 8 and axial ones 5
LOOKS, READ = "series.looks", "read all the same"
BY_PIXELS, BY_PLANE = "by its pixels", "the only sequence of its plane that no other series has"
IdentifyByPixels = Callable[[Study], Mapping[int, str]]
"""Returns the sequences that pixels identify, by series id; the study holds those already known."""


def read_study(
    study_id: int,
    rows: pd.DataFrame,
    ledger: Ledger,
    *,
    prepare: Prepare | None = None,
    identify: IdentifyByPixels | None = None,
) -> Study:
    """Read the series listed in `rows` (series_id, sequence, folder); bad data never raises.

    A `folder` may instead be the files of the series. A `sequence` that is not in SEQUENCES is identified by
    tags, then by `identify`, then by the plane if that leaves one choice; stacks in another plane than their
    sequence's are left out. `prepare` is applied to each series before the next is read, so a study of
    reduced stacks is never in memory at full size.

    >>> rows = pd.DataFrame({"series_id": [4], "sequence": ["Axial T2"], "folder": ["no/such/folder"]})
    >>> ledger = Ledger()
    >>> read_study(7, rows, ledger).sequences
    ()
    >>> ledger.table()["detail"].tolist()[:2]
    ['no folder to read: FileNotFoundError', 'no Sagittal T1']
    """
    series, tags, shown = [], {}, {}
    for series_id, sequence, source in rows[["series_id", "sequence", "folder"]].itertuples(index=False):
        stacks = read_series(source, ledger, study_id=study_id, series_id=int(series_id))
        found = Series(int(series_id), sequence if sequence in SEQUENCES else None, tuple(stacks))
        found = _in_plane(found, study_id, ledger)
        if stacks:
            tags[found.series_id] = _tags_of(source, (found.stacks or stacks)[0])
        numbers = digests(found.stacks)
        _note_doubts(found, numbers, study_id, ledger)
        shown[found.series_id] = found.sequence, set(numbers)
        series.append(replace(found, stacks=tuple(prepare([*found.stacks]))) if prepare else found)
    ledger.extend(replace(fault, study_id=study_id) for fault in _copies(shown))
    study = _of_one_patient(Study(study_id, tuple(series)), tags, ledger)
    _note_contradicted(study, tags, ledger)
    study = _named(study, tags, ledger, identify)
    note_missing_sequences(study_id, study.sequences, ledger)
    return study


def _note_doubts(series: Series, numbers: Sequence[int], study_id: int, ledger: Ledger) -> None:
    """Record if a series has few slices or does not look like MRI; `numbers` are its `digests`."""
    key = study_id, series.series_id
    if 0 < (count := sum(map(len, series.stacks))) < FEWEST:
        ledger.add(Fault("series.few_slices", "slices kept", *key, detail=f"{count} in all"))
    ledger.extend(Fault(LOOKS, READ, *key, detail=what) for what in odd_looks(series.stacks, numbers))


def _copies(shown: Mapping[int, tuple[str | None, set[int]]]) -> Iterator[Fault]:
    """Yield a fault for each series that shares an image with one of another sequence.

    `shown` holds the sequence and the `digests` of each series, by id.
    """
    for series_id, (sequence, images) in shown.items():
        others = [own for other, own in shown.values() if None not in (other, sequence) and other != sequence]
        if not images.isdisjoint(set().union(*others)):
            detail = f"{sequence} shows the same as another sequence"
            yield Fault(LOOKS, READ, series_id=series_id, detail=detail)


def _note_contradicted(study: Study, tags: Mapping[int, Tags], ledger: Ledger) -> None:
    """Record which described series are something else by their own tags: either may be wrong."""
    for series in (series for series in study.series if series.sequence and series.stacks):
        verdict = _identified(series, tags[series.series_id])
        if verdict and verdict.sequence != series.sequence:
            key = study.study_id, series.series_id
            detail = (
                f"{series.sequence} as described, {verdict.sequence or 'none that is read'} {verdict.why}"
            )
            ledger.add(Fault("series.contradicted", "read as described", *key, detail=detail))


def _tags_of(source: Source, stack: Stack) -> Tags:
    """The tags of a file of the stack, the first of them that can be read."""
    for path in files_of(source):
        if as_text(path.name) in stack.files:
            with contextlib.suppress(SliceError):
                return read_tags(path)
    return Tags()


def _of_one_patient(study: Study, tags: Mapping[int, Tags], ledger: Ledger) -> Study:
    """The study without the series of another study or patient than most."""
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
    """The series without the stacks in another plane than its sequence's."""
    kept, faults = in_plane(series.stacks, series.sequence)
    ledger.extend(replace(fault, study_id=study_id, series_id=series.series_id) for fault in faults)
    return replace(series, stacks=tuple(kept))


def _named(
    study: Study, tags: Mapping[int, Tags], ledger: Ledger, identify: IdentifyByPixels | None
) -> Study:
    """The study with its undescribed series identified, as far as tags, pixels or planes allow."""
    identified = {
        series.series_id: _identified(series, tags[series.series_id])
        for series in study.series
        if series.sequence is None and series.stacks
    }
    study = _with(study, identified)
    if identify and not all(identified.values()):
        by_pixels = identify(study)
        unsure = [key for key in by_pixels if identified.get(key, True) is None]
        identified |= {key: Identification(by_pixels[key], BY_PIXELS) for key in unsure}
        study = _with(study, identified)
    known = {series.sequence for series in study.series}
    for series in study.series:
        if identified.get(series.series_id, True) is None:
            identified[series.series_id] = _by_elimination(series, known)
    named = _with(study, identified)
    for key, verdict in identified.items():
        action = f"taken as {verdict.sequence}" if verdict and verdict.sequence else "left out"
        why = verdict.why if verdict else "neither tags nor pixels nor its plane identify its sequence"
        ledger.add(Fault("series.undescribed", action, study.study_id, key, detail=why))
    return replace(named, series=tuple(_in_plane(series, study.study_id, ledger) for series in named.series))


def _identified(series: Series, tags: Tags) -> Identification | None:
    plane, refused = main_plane(series.stacks)
    return refused or identified_by_tags(tags, plane)


def _by_elimination(series: Series, known: Collection[str | None]) -> Identification | None:
    """The sequence of the series' plane that no other series has, if there is exactly one."""
    plane, _ = main_plane(series.stacks)
    lacking = [sequence for sequence in plane2sequences[plane] if sequence not in known]
    return Identification(lacking[0], BY_PLANE) if len(lacking) == 1 else None


def _with(study: Study, identified: Mapping[int, Identification | None]) -> Study:
    """The study with its series so identified; a series that is not one to read loses its stacks."""
    series = []
    for one in study.series:
        if verdict := identified.get(one.series_id):
            one = replace(one, sequence=verdict.sequence, stacks=one.stacks if verdict.sequence else ())
        series.append(one)
    return replace(study, series=tuple(series))
