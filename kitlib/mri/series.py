"""Read a series: all DICOM files of a folder, as stacks."""

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kitlib.machine import Map, cores, threaded
from kitlib.mri.assemble import assembled
from kitlib.mri.dicom.header import LIMITS, Limits, starts_dicom
from kitlib.mri.dicom.slices import DROPPED, FILE_DROPPED, Slice, read_files
from kitlib.mri.identity import strangers
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.stack import Stack

SKIPPED = "series skipped"
LOST_SHARE = 0.2  # of a series' slices: with more lost, it is incomplete
HEAD_BYTES = 256  # of a file, enough to recognise DICOM

Source = Path | str | Sequence[Path]
"""A folder, or the files of one series, which may lie anywhere."""


def read_series(
    source: Source,
    ledger: Ledger,
    *,
    study_id: int | None = None,
    series_id: int | None = None,
    limits: Limits = LIMITS,
    threads: int | None = None,
) -> list[Stack]:
    """Read a folder's DICOM files, or the files given, as stacks, those with most slices first.

    Files need no extension: `is_dicom` recognises them. Bad data never raises: unusable slices are left out,
    each fault is a row of the ledger, and if nothing can be read the list is empty. All cores are used unless
    `threads` is given.

    >>> stacks = read_series("competition/test_images/11/111", Ledger(), study_id=11, series_id=111)
    >>> [(stack.plane, len(stack)) for stack in stacks]
    [('sagittal', 5)]
    """
    with warnings.catch_warnings(), threaded(threads or cores()) as each:
        warnings.simplefilter("ignore")  # those of pydicom's warnings that matter are faults here
        stacks, faults = _read(source, limits, each)
    ledger.extend(replace(fault, study_id=study_id, series_id=series_id) for fault in faults)
    return stacks


def is_dicom(path: Path) -> bool:
    """Whether a file is named .dcm, or can be opened and begins like DICOM."""
    if path.suffix.lower() == ".dcm":
        return True
    with contextlib.suppress(OSError):
        if path.is_file():  # a pipe would block
            with open(path, "rb") as file:
                return starts_dicom(file.read(HEAD_BYTES))
    return False


def files_of(source: Source) -> list[Path]:
    """The DICOM files of a folder, by name, or the files given; raises OSError if there is no such folder."""
    if isinstance(source, Path | str):
        return sorted(path for path in Path(source).iterdir() if is_dicom(path))
    return list(source)


def _read(source: Source, limits: Limits, each: Map) -> tuple[list[Stack], list[Fault]]:
    try:
        paths = files_of(source)
    except OSError as error:
        return [], [Fault("series.missing", SKIPPED, detail=f"no folder to read: {type(error).__name__}")]
    if not paths:
        return [], [Fault("series.empty", SKIPPED, detail="the folder holds no DICOM file")]
    slices, faults = _read_files(paths, limits, each)
    if not slices:
        faults.append(Fault("series.unreadable", SKIPPED, detail=f"none of {len(paths)} files can be used"))
        return [], faults
    return stacked(slices, faults, each)


def stacked(
    slices: Sequence[Slice], faults: Sequence[Fault], each: Map = map
) -> tuple[list[Stack], list[Fault]]:
    """The stacks of a series' slices, and the faults: those of its files, then those of the series."""
    own, others = _of_one_study(slices)
    stacks, odd = assembled(own, each)
    found = [*faults, *others, *odd]
    return stacks, [*found, *_losses(stacks, found)]


def _read_files(paths: Sequence[Path], limits: Limits, each: Map) -> tuple[list[Slice], list[Fault]]:
    """The slices of files, until the series grows too large, and their faults."""
    slices: list[Slice] = []
    faults: list[Fault] = []
    values = 0
    for path, (found, odd) in zip(paths, read_files(paths, limits, each)):
        slices += found
        faults += odd
        values += sum(piece.stored.size for piece in found)
        if values > limits.series_values or len(slices) > limits.series_slices:
            faults.append(Fault("series.too_large", "the files after it not read", file=path.name))
            break
    return slices, faults


def _of_one_study(slices: Sequence[Slice]) -> tuple[list[Slice], list[Fault]]:
    """The slices without those of another study or patient than most, and a fault for each file left out."""
    is_odd, is_undecided = strangers([(piece.header.study_uid, piece.header.patient_id) for piece in slices])
    files = dict.fromkeys(piece.file for piece, odd in zip(slices, is_odd) if odd)
    detail = "of another study or patient than most of its series"
    faults = [Fault("slice.stranger", "slice left out", file=file, detail=detail) for file in files]
    if is_undecided:
        detail = "slices of several studies or patients, none of which has most"
        faults.append(Fault("series.strangers", "slices kept", detail=detail))
    return [piece for piece, odd in zip(slices, is_odd) if not odd], faults


def _losses(stacks: Sequence[Stack], faults: Sequence[Fault]) -> list[Fault]:
    """A fault if the series has lost more than LOST_SHARE of its slices."""
    kept = sum(map(len, stacks))
    lost = sum(fault.action in (DROPPED, FILE_DROPPED) for fault in faults)
    if lost <= LOST_SHARE * (kept + lost):
        return []
    detail = f"{kept} of {kept + lost} slices can be used"
    return [Fault("series.incomplete", "read without them", detail=detail)]
