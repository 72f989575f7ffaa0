"""Crop stacks of any geometry around places, sized in millimetres and rotated with the level."""

from collections.abc import Sequence

import cv2
import numpy as np

from kitlib.errors import UsageError
from kitlib.mri.stack import Stack

MOST_SLICES = 15
BEYOND_MM = 10.0  # from the nearest slice: a stack further away does not show the place
NEARLY_MM = 1.0  # among stacks at most this much further than the nearest, most slices around win
BLURRED_FROM = 1.25  # source pixels per crop pixel, from which they are averaged instead of skipped
MARGIN_PX = 3  # of the source around the crop, for averaging and interpolation
NO_SLICE = -2  # instance number of a slice beyond the ends; -1 is that of an unnumbered slice
FLAT_COSINE = 0.2  # a direction with no more than this in the slice plane does not rotate the crop


def crop_around(
    stacks: Sequence[Stack],
    place_mm: np.ndarray,
    *,
    size_mm: tuple[float, float],
    px_mm: float,
    slices: int,
    up: np.ndarray | None = None,
) -> Stack | None:
    """Crop height and width `size_mm` around a place (3,); returns None if no stack shows the place.

    The crop is itself a stack with patient geometry: uint8 from prepared stacks, float32 from stacks as read.
    It has `slices` neighbouring slices by position, the nearest in the middle; pixels outside the original
    are 0, and slices beyond its ends have the instance number NO_SLICE.

    Orientation follows radiological display, whatever the original's axes: the head is up on sagittal slices,
    the patient's left is right on axial ones. `up` (3,) is the patient direction to point upwards, such as a
    disc's normal on sagittal slices and the front of its level on axial ones; without it, or if it is nearly
    perpendicular to the slices, they are only flipped and rotated by right angles.
    """
    if not 1 <= slices <= MOST_SLICES:
        raise UsageError(f"{slices} slices a crop", hint=f"Ask for 1 to {MOST_SLICES}.")
    place = np.asarray(place_mm, dtype=np.float64)
    found = stack_of(stacks, place, slices)
    if found is None:
        return None
    stack, nearest = found
    height_mm, width_mm = size_mm
    shape = max(1, round(height_mm / px_mm)), max(1, round(width_mm / px_mm))
    numbers = nearest + np.arange(slices) - slices // 2
    frame = _framed(stack, numbers, place, shape, px_mm, up)
    for order, number in enumerate(numbers):
        if 0 <= number < len(stack):
            frame.pixels[order] = _sampled(stack, number, frame, order)
    return frame


def stack_of(stacks: Sequence[Stack], place: np.ndarray, slices: int) -> tuple[Stack, int] | None:
    """Choose the stack to crop among those that show a place (3,), and the index of its nearest slice."""
    found = []
    for stack in stacks:
        away = np.abs(stack.positions_mm - place @ stack.normal)
        nearest = int(away.argmin())
        col, row, _ = stack.to_pixel(place)
        _, height, width = stack.pixels.shape
        in_view = -0.5 <= col <= width - 0.5 and -0.5 <= row <= height - 0.5
        if in_view and away[nearest] <= BEYOND_MM:
            around = min(nearest, slices // 2) + min(len(stack) - 1 - nearest, (slices - 1) // 2)
            # Ties are broken independently of the order of the stacks.
            last = (-around, round(float(away[nearest]), 3), stack.spacing_mm, *stack.origins_mm[0])
            found.append((float(away[nearest]), last, stack, nearest))
    if not found:
        return None
    least = min(away for away, *_ in found)
    nearly = [shown for shown in found if shown[0] <= least + NEARLY_MM]
    return min(nearly, key=lambda shown: shown[1])[2:]


def _framed(
    stack: Stack,
    numbers: np.ndarray,
    place: np.ndarray,
    shape: tuple[int, int],
    px_mm: float,
    up: np.ndarray | None,
) -> Stack:
    """The crop's geometry with black pixels: slices stacked along the normal through the place."""
    down, right = _directions(stack, up)
    inside = (numbers >= 0) & (numbers < len(stack))
    known = np.clip(numbers, 0, len(stack) - 1)
    positions = stack.to_patient(0, 0, numbers) @ stack.normal
    corner = place - px_mm / 2 * ((shape[0] - 1) * down + (shape[1] - 1) * right)
    return Stack(
        pixels=np.zeros((len(numbers), *shape), np.uint8 if stack.pixels.dtype == np.uint8 else np.float32),
        origins_mm=corner + (positions - corner @ stack.normal)[:, None] * stack.normal,
        row_direction=right,
        column_direction=down,
        spacing_mm=(px_mm, px_mm),
        instance_numbers=np.where(inside, stack.instance_numbers[known], NO_SLICE),
        files=tuple(stack.files[number] if is_there else "" for number, is_there in zip(known, inside)),
    )


def _directions(stack: Stack, up: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The down and right directions of the crop, (3,) unit vectors in the slice plane."""
    flat = np.zeros(3) if up is None else up - (up @ stack.normal) * stack.normal
    steepness = float(np.linalg.norm(flat))
    rightwards, downwards = stack.readers
    if steepness > FLAT_COSINE:
        upwards = flat / steepness
    else:
        axes = (stack.row_direction, stack.column_direction)
        ways = [sign * axis for axis in axes for sign in (1.0, -1.0)]
        upwards = max(ways, key=lambda way: float(way @ -downwards))
    right = np.cross(upwards, stack.normal)
    return -upwards, right if right @ rightwards > 0 else -right


def _sampled(stack: Stack, index: int, frame: Stack, order: int) -> np.ndarray:
    """Resample one slice onto the frame's slice `order`, 0 outside the slice."""
    height, width = frame.pixels.shape[1:]
    # (col, row) in the slice of the frame's pixel (u, v): start + steps @ (u, v)
    to_px = np.stack(
        [stack.row_direction / stack.spacing_mm[1], stack.column_direction / stack.spacing_mm[0]]
    )
    steps = to_px @ np.stack([frame.row_direction, frame.column_direction], axis=1) * frame.spacing_mm[0]
    start = to_px @ (frame.origins_mm[order] - stack.origins_mm[index])
    size = np.array(stack.pixels.shape[:0:-1])
    corners = start + np.array([(u, v) for u in (0, width - 1) for v in (0, height - 1)]) @ steps.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (high < -0.5).any() or (low > size - 0.5).any():
        return np.zeros((height, width))
    first = np.clip(np.floor(low) - MARGIN_PX, 0, size - 1).astype(int)
    last = np.clip(np.ceil(high) + MARGIN_PX, 1, size).astype(int)
    source = np.array(stack.pixels[index, first[1] : last[1], first[0] : last[0]], frame.pixels.dtype)
    source = _averaged(np.nan_to_num(source, copy=False), frame.spacing_mm[0], stack.spacing_mm)
    image = cv2.warpAffine(
        source,
        np.c_[steps, start - first],
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if (low >= -0.5).all() and (high <= size - 0.5).all():
        return image
    at = start + np.indices((width, height)).T @ steps.T  # (height, width, 2)
    inside = ((at >= -0.5) & (at <= size - 0.5)).all(axis=-1)
    return np.where(inside, image, 0)


def _averaged(source: np.ndarray, px_mm: float, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Blur pixels in proportion to how much larger the crop's are, to avoid aliasing."""
    larger = px_mm / np.array(spacing_mm)
    if larger.max() < BLURRED_FROM:
        return source
    by_row, by_col = np.sqrt(np.maximum(larger**2 - 1, 1e-4) / 12)  # as for a box of that many pixels
    return cv2.GaussianBlur(source, (0, 0), sigmaX=by_col, sigmaY=by_row, borderType=cv2.BORDER_REPLICATE)
