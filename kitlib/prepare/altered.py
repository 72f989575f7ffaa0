"""Alter studies as they might have been acquired or stored: degraded, reoriented, or covering less spine."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.prepare.grey import greyscale
from kitlib.prepare.perturb import worse
from kitlib.prepare.volumes import prepare

BACK = np.array([0.0, 1.0, 0.0])  # LPS
BRIGHTEST = 255  # of a prepared stack


def worse_study(study: Study, name: str, strength: float, rng: np.random.Generator) -> Study:
    """Degrade every slice of a prepared study with `worse`, and prepare it again."""
    return _changed(study, partial(_worse_stack, name=name, strength=strength, rng=rng))


def relaid_study(study: Study, **how: bool) -> Study:
    """Store all slices of a study differently, with `Stack.laid_out`, and prepare it again."""
    return _changed(study, partial(_relaid_stack, how=how))


def without_axial_above(study: Study, place_mm: np.ndarray) -> Study:
    """Remove the axial slices of a study that pass above a place (3,)."""
    return _changed(study, partial(_without_above, place_mm=place_mm))


def _changed(study: Study, change: Callable[[Stack], Stack | None]) -> Study:
    """Apply `change` to every stack of a study, dropping stacks of which nothing remains."""
    return replace(
        study,
        series=tuple(
            replace(series, stacks=tuple(filter(None, map(change, series.stacks)))) for series in study.series
        ),
    )


def _worse_stack(stack: Stack, name: str, strength: float, rng: np.random.Generator) -> Stack:
    grey = stack.pixels.astype(np.float32) / BRIGHTEST
    for image in _columns_to_the_back(grey, stack):
        image[...] = worse(image, name, strength, rng)
    return replace(stack, pixels=greyscale(grey))


def _relaid_stack(stack: Stack, how: Mapping[str, bool]) -> Stack:
    (prepared,) = prepare([stack.laid_out(**how)], longest_px=max(stack.pixels.shape[1:]))
    return prepared


def _columns_to_the_back(pixels: np.ndarray, stack: Stack) -> np.ndarray:
    """A view of a stack's pixels (N, H, W) whose columns run as nearly as possible to the patient's back."""
    across, down = stack.row_direction @ BACK, stack.column_direction @ BACK
    if abs(across) < abs(down):
        pixels, across = pixels.swapaxes(1, 2), down
    return pixels if across >= 0 else pixels[:, :, ::-1]


def _without_above(stack: Stack, place_mm: np.ndarray) -> Stack | None:
    if stack.plane != "axial":
        return stack
    kept = stack.positions_mm <= place_mm @ stack.normal  # the normal points to the head
    return stack.slices(kept) if kept.any() else None
