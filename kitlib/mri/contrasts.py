"""Separate several images of one place by how they were acquired, or report that nothing separates them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from kitlib.mri.dicom.frames import CONTRAST
from kitlib.mri.dicom.slices import Slice
from kitlib.mri.greys import look_alike
from kitlib.mri.ledger import Fault

SAME_POSITION_MM = 0.1
LEAST_COVER = 0.75  # of the places, by one contrast: a tag that counts or interleaves slices covers fewer


def places_of(positions_mm: np.ndarray) -> np.ndarray:
    """The places (n,), numbered from 0 up, of positions (n,): a chain of near positions is one place."""
    order = positions_mm.argsort(kind="stable")
    places = np.zeros(len(order), int)
    places[order[1:]] = (np.diff(positions_mm[order]) >= SAME_POSITION_MM).cumsum()
    return places


def by_contrast(slices: Sequence[Slice], places: np.ndarray) -> tuple[list[list[Slice]], list[str]]:
    """Split slices by contrast, lowest instance number first; also return what separated them, in words.

    Nothing is split if no two slices share a place, and only as many tags are used as it takes to separate
    those that do.
    """
    if len(slices) == places.max() + 1:  # as in most series
        return [list(slices)], []
    labels = np.zeros(len(slices), int)
    separating: list[str] = []
    count, most = places.max() + 1, np.bincount(places).max()
    for (word, *_), texts in zip(CONTRAST, zip(*(piece.frame.contrast for piece in slices))):
        if len(slices) == _distinct(places, labels):
            break
        _, values = np.unique(texts, return_inverse=True)
        finer = np.unique(np.stack([labels, values]), axis=1, return_inverse=True)[1].ravel()
        parts = _distinct(places, finer) > _distinct(places, labels)
        if parts and values.max() < most and np.bincount(finer).max() >= LEAST_COVER * count:
            labels, separating = finer, [*separating, word]
    groups = [
        [slices[index] for index in np.flatnonzero(labels == label)] for label in range(labels.max() + 1)
    ]
    return sorted(
        groups, key=lambda group: min((*_number(piece), piece.frame.contrast) for piece in group)
    ), separating


def one_a_place(slices: Sequence[Slice], places: np.ndarray) -> tuple[list[Slice], list[Fault]]:
    """One slice per place, ascending, and a fault for each file with a further one.

    The first is kept by instance number, then by frame number within the file, then by content.
    """
    order = places.argsort(kind="stable")
    kept: list[Slice] = []
    again: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for _, indices in groupby(order, key=places.__getitem__):
        here = [slices[index] for index in indices]
        first = min(here, key=_precedence) if len(here) > 1 else here[0]
        kept.append(first)
        for piece in here:
            if piece is not first:
                (again if look_alike(piece, first) else others)[piece.file] += 1
    return kept, [
        *(_fault("stack.repeated", file, f"{count} repeated") for file, count in again.items()),
        *(_fault("stack.ambiguous", file, f"{count} different") for file, count in others.items()),
    ]


def _fault(code: str, file: str, what: str) -> Fault:
    return Fault(
        code, "kept the first by instance number", file=file, detail=f"{what}, at another slice's position"
    )


def _distinct(places: np.ndarray, labels: np.ndarray) -> int:
    """The number of distinct pairs of place and label."""
    return len(np.unique(places * (labels.max() + 1) + labels))


def _number(piece: Slice) -> tuple[bool, int, int]:
    return piece.instance_number < 0, piece.instance_number, piece.number


def _precedence(piece: Slice) -> tuple[bool, int, int, bytes]:
    return *_number(piece), hashlib.sha256(piece.stored.tobytes()).digest()
