"""A series: all DICOM files of a folder, as stacks.

Slices share a stack when size, spacing and orientation agree, they do not lie side by side, and no identifier
says that they are of two series. File names decide nothing, instance numbers only which of two slices at one
place is kept: shuffled and renamed files give the same stacks.
"""

import contextlib
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kitlib.machine import Map, cores, threaded
from kitlib.mri.dicom.header import LIMITS, Limits, starts_dicom
from kitlib.mri.dicom.slices import Slice, read_files
from kitlib.mri.grouping import linked
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.stack import Stack, normal_of, orthonormal

SKIPPED = "series skipped"
COSINE_TOLERANCE = 0.002  # 0.1 degrees: above the jitter of rounded tags, below the angle between two discs
SPACING_TOLERANCE = 0.005  # relative
SIDE_BY_SIDE_MM = 10.0  # in-plane shift between neighbours: sheared stacks stay below, other fields do not
SAME_POSITION_MM = 0.1
GAP_STEPS = 1.5
HEAD_BYTES = 256  # of a file, which tell whether it is DICOM

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
    """The stacks of a folder's DICOM files, or of the files given, those of most slices first.

    Files need no ending: `is_dicom` tells them. Bad data never raises: slices that cannot be used are left
    out, each fault is a row of the ledger, and where nothing can be read there is no stack. All cores are
    used unless `threads` says less.

    >>> stacks = read_series("competition/test_images/11/111", Ledger(), study_id=11, series_id=111)
    >>> [(stack.plane, len(stack)) for stack in stacks]
    [('sagittal', 5)]
    """
    with warnings.catch_warnings(), threaded(threads or cores()) as each:
        warnings.simplefilter("ignore")  # what pydicom warns of, and matters, is a fault here
        stacks, faults = _read(source, limits, each)
    ledger.extend(replace(fault, study_id=study_id, series_id=series_id) for fault in faults)
    return stacks


def is_dicom(path: Path) -> bool:
    """Whether a file is called .dcm, or can be opened and begins as DICOM does."""
    if path.suffix.lower() == ".dcm":
        return True
    with contextlib.suppress(OSError):
        if path.is_file():  # a pipe would be waited for
            with open(path, "rb") as file:
                return starts_dicom(file.read(HEAD_BYTES))
    return False


def files_of(source: Source) -> list[Path]:
    """The DICOM files of a folder, by name, or those given; OSError where there is no folder to look into."""
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
        if values > limits.series_values or len(slices) > limits.series_slices:
            faults.append(Fault("series.too_large", "the files after it not read", file=path.name))
            break
    return slices, faults


def _stacks(slices: list[Slice], faults: list[Fault], each: Map) -> list[Stack]:
    sizes = sorted({piece.stored.shape for piece in slices})
    if len(sizes) > 1:
        faults.append(Fault("series.mixed_sizes", "a stack for each size", detail=f"rows, columns {sizes}"))
    stacks = []
    for group in _grouped(slices):
        stack, odd = _built(group, each)
        stacks.append(stack)
        faults += odd
    return sorted(stacks, key=_largest_first)


def _largest_first(stack: Stack) -> tuple:
    """Slices, then pixels; the place in the patient decides between equals, so that the order is one."""
    return -len(stack), -stack.pixels[0].size, *stack.normal, *stack.origins_mm[0]


def _grouped(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that belong together, by series, size, spacing, orientation and field of view, in any order."""
    return [
        side_by_side
        for alike in linked(slices, _likeness(slices))
        for side_by_side in linked(alike, _in_plane_mm(alike) / SIDE_BY_SIDE_MM)
    ]


def _built(group: Sequence[Slice], each: Map) -> tuple[Stack, list[Fault]]:
    """The stack of slices that belong together, and what was odd about their positions.

    `each` maps, as the built-in does, the slices that are rescaled.
    """
    directions = _directions(group)
    normal = normal_of(*directions)
    ordered = sorted(group, key=lambda piece: float(piece.frame.origin_mm @ normal))
    kept, repeated = _one_per_position(ordered, normal)
    pixels = np.empty((len(kept), *kept[0].stored.shape), dtype=np.float32)
    for _ in each(Slice.rescale_into, kept, pixels):
        pass  # each writes its own part of the pixels
    stack = Stack(
        pixels=pixels,
        origins_mm=np.array([piece.frame.origin_mm for piece in kept]),
        row_direction=directions[0],
        column_direction=directions[1],
        spacing_mm=tuple(np.median([piece.frame.spacing_mm for piece in kept], axis=0).tolist()),
        instance_numbers=np.array([piece.instance_number for piece in kept], dtype=np.int64),
        files=tuple(piece.file for piece in kept),
    )
    return stack, [*_repeats(repeated), *_gaps(stack)]


def _likeness(slices: Sequence[Slice]) -> np.ndarray:
    """Points (n, 11), two of them within 1 by their largest coordinate where slices may share a stack."""
    directions = np.array([piece.frame.directions.ravel() for piece in slices])
    spacings_mm = np.array([piece.frame.spacing_mm for piece in slices])
    sizes = np.array([piece.stored.shape for piece in slices])
    return np.hstack(
        [
            directions / COSINE_TOLERANCE,
            np.log(spacings_mm) / SPACING_TOLERANCE,
            sizes * 2.0,
            _series_numbers(slices)[:, None] * 2.0,
        ]
    )


def _series_numbers(slices: Sequence[Slice]) -> np.ndarray:
    """Of which series each slice is, (n,); all of one where identifiers only count slices, as some do."""
    uids, numbers = np.unique([piece.series_uid for piece in slices], return_inverse=True)
    return numbers if 2 * len(uids) <= len(slices) else np.zeros(len(slices))


def _in_plane_mm(group: Sequence[Slice]) -> np.ndarray:
    """Where each slice's first pixel lies along the image's two directions: (n, 2)."""
    return np.array([piece.frame.origin_mm for piece in group]) @ _directions(group).T


def _directions(group: Sequence[Slice]) -> np.ndarray:
    """The common directions (2, 3); a median, because it does not depend on the order of the slices."""
    return orthonormal(np.median([piece.frame.directions for piece in group], axis=0))


def _one_per_position(ordered: Sequence[Slice], normal: np.ndarray) -> tuple[list[Slice], list[Slice]]:
    """(kept, repeated): of slices at one position the first by instance number is kept, then by content."""
    places: list[list[Slice]] = []
    for piece in ordered:
        if places and (piece.frame.origin_mm - places[-1][-1].frame.origin_mm) @ normal < SAME_POSITION_MM:
            places[-1].append(piece)
        else:
            places.append([piece])
    kept = [min(place, key=_precedence) if len(place) > 1 else place[0] for place in places]
    chosen = {id(piece) for piece in kept}
    return kept, [piece for piece in ordered if id(piece) not in chosen]


def _precedence(piece: Slice) -> tuple[bool, int, str]:
    content = hashlib.sha256(piece.stored.tobytes()).hexdigest()
    return piece.instance_number < 0, piece.instance_number, content


def _repeats(repeated: Sequence[Slice]) -> Iterator[Fault]:
    for file, count in Counter(piece.file for piece in repeated).items():
        detail = f"{count} at a position that another slice has"
        yield Fault("stack.repeated", "kept the first by instance number", file=file, detail=detail)


def _gaps(stack: Stack) -> Iterator[Fault]:
    steps = np.diff(stack.positions_mm)
    if not len(steps):
        return
    usual = np.quantile(steps, 0.5, method="lower")
    for index in np.flatnonzero(steps > GAP_STEPS * usual):
        detail = f"{steps[index]:.1f} mm to the slice before, usually {usual:.1f} mm"
        yield Fault("stack.gap", "slices kept, none put between", file=stack.files[index + 1], detail=detail)
