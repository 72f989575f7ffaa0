"""A series: all DICOM files of a folder, as stacks."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kitlib.machine import Map, cores, threaded
from kitlib.mri.dicom.limits import LIMITS, Limits
from kitlib.mri.dicom.slices import Slice, read_files
from kitlib.mri.grouping import build_stack, group_slices
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.stack import Stack

SKIPPED = "series skipped"


def read_series(
    folder: Path,
    ledger: Ledger,
    *,
    study_id: int | None = None,
    series_id: int | None = None,
    limits: Limits = LIMITS,
    threads: int | None = None,
) -> list[Stack]:
    """The stacks of a folder's .dcm files, those of most slices first; [] where nothing is readable.

    Bad data never raises: slices that cannot be used are left out, and each fault is a row of the ledger.
    All cores are used unless `threads` says less.

    >>> stacks = read_series("competition/test_images/11/111", Ledger(), study_id=11, series_id=111)
    >>> [(stack.plane, len(stack)) for stack in stacks]
    [('sagittal', 5)]
    """
    with warnings.catch_warnings(), threaded(threads or cores()) as each:
        warnings.simplefilter("ignore")  # what pydicom warns of, and matters, is a fault here
        stacks, faults = _read(Path(folder), limits, each)
    ledger.extend(replace(fault, study_id=study_id, series_id=series_id) for fault in faults)
    return stacks


def _read(folder: Path, limits: Limits, each: Map) -> tuple[list[Stack], list[Fault]]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".dcm")
    except OSError as error:
        return [], [Fault("series.missing", SKIPPED, detail=f"no folder to read: {type(error).__name__}")]
    if not paths:
        return [], [Fault("series.empty", SKIPPED, detail="the folder holds no .dcm file")]
    slices, faults = _read_files(paths, limits, each)
    if not slices:
        faults.append(Fault("series.unreadable", SKIPPED, detail=f"none of {len(paths)} files can be used"))
        return [], faults
    return _stacks(slices, faults, each), faults


def _read_files(paths: Sequence[Path], limits: Limits, each: Map) -> tuple[list[Slice], list[Fault]]:
    """The slices of files, as far as the series does not grow too large, and their faults."""
    slices: list[Slice] = []
    faults: list[Fault] = []
    values = 0
    for path, (found, odd) in zip(paths, read_files(paths, limits, each)):
        slices += found
        faults += odd
        values += sum(piece.stored.size for piece in found)
        if values > limits.series_values:
            faults.append(Fault("series.too_large", "the files after it not read", file=path.name))
            break
    return slices, faults


def _stacks(slices: list[Slice], faults: list[Fault], each: Map) -> list[Stack]:
    sizes = sorted({piece.stored.shape for piece in slices})
    if len(sizes) > 1:
        faults.append(Fault("series.mixed_sizes", "a stack for each size", detail=f"rows, columns {sizes}"))
    stacks = []
    for group in group_slices(slices):
        stack, odd = build_stack(group, each)
        stacks.append(stack)
        faults += odd
    return sorted(stacks, key=_largest_first)


def _largest_first(stack: Stack) -> tuple:
    """Slices, then pixels; the place in the patient decides between equals, so that the order is one."""
    return -len(stack), -stack.pixels[0].size, *stack.normal, *stack.origins_mm[0]
