"""Check whether a series looks like MRI, from what physics says of its pixels and no header does.

In and around a body much is black and little is white, neighbouring pixels are alike, and noise makes every
slice different.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from kitlib.mri.stack import Stack

FEWEST_PX = 64  # per side: smaller images are not checked
LINES_PX, STEP_PX = 32, 8  # between sampled lines, and between sampled pixels: sparse, to keep reading fast
RANGE = (0.01, 0.99)  # quantiles that bound the range of greys
END_SHARE = 0.1  # of this range, at either end
MOST_CLIPPED = 0.15  # of an image's pixels with its largest value: .085 if windowed for a screen
MOST_TIMES = 10  # times the median range of a stack's slices: greys fade towards its ends
LEAST_TIMES = 0.1  # times that range: a slice with less shows air beside the body, rightly noise
MARKED_SHARE, BEYOND_TIMES = 0.01, 2.0  # of the pixels; times the range of the others
FEWEST_GREYS = 16  # in an image
LEAST_ALIKE = 0.5  # correlation of neighbours: 0.91 and more in 96 slices of a patient, 0.80 in phantoms


def odd_looks(stacks: Sequence[Stack], numbers: Sequence[int]) -> Iterator[str]:
    """Describe what is odd about the images of a series; `numbers` are their `digests`."""
    if not (large := _large(stacks)):
        return
    times = np.concatenate([*map(_times, large)])
    odd = {
        "are clipped: many pixels have the largest value": np.concatenate([*map(_clipped, large)]),
        "are marked: some pixels have a value far above all others": np.concatenate([*map(_marked, large)]),
        "have fewer greys than any scanner stores": np.concatenate([*map(_flat, large)]),
        "have many times the greys of the others": times > MOST_TIMES,
        "are noise: neighbouring pixels have nothing in common": np.concatenate([*map(_noise, large)])
        & (times > LEAST_TIMES),
        "show the same as another": _copies(numbers),
    }
    for what, are_so in odd.items():
        if any(are_so):
            yield f"{sum(are_so)} of {len(are_so)} slices {what}"
    # The small field of view of an axial slice may be filled with fat: it is not checked.
    if stacks[0].plane == "sagittal" and _is_bright(large):
        yield "more is white than black, unlike in any sagittal MRI that is not inverted"


def digests(stacks: Sequence[Stack]) -> list[int]:
    """A hash of the sampled rows of each large image, comparable within one process."""
    return [hash(image[::LINES_PX].tobytes()) for images in _large(stacks) for image in images]


def _large(stacks: Sequence[Stack]) -> list[np.ndarray]:
    """The images (n, H, W) of the stacks that are large enough to check."""
    return [stack.pixels for stack in stacks if min(stack.pixels.shape[1:]) >= FEWEST_PX]


def _is_bright(stacks: Sequence[np.ndarray]) -> bool:
    """Whether more pixels of stacks (n, H, W) are at the bright end of their range than at the dark end."""
    greys = np.concatenate([images[:, ::STEP_PX, ::STEP_PX].ravel() for images in stacks])
    low, high = np.quantile(greys, RANGE)
    end = END_SHARE * (high - low)
    return bool((greys > high - end).sum() > (greys < low + end).sum())


def _clipped(images: np.ndarray) -> np.ndarray:
    """Mask (n,) of the images (n, H, W) in which many pixels have the largest value."""
    sampled = images[:, ::STEP_PX, ::STEP_PX]
    return (sampled == sampled.max(axis=(1, 2), keepdims=True)).mean(axis=(1, 2)) > MOST_CLIPPED


def _marked(images: np.ndarray) -> np.ndarray:
    """Mask (n,) of the images (n, H, W) with a frame or patch of a value far above all others."""
    sampled = images[:, ::STEP_PX, ::STEP_PX].reshape(len(images), -1)
    low, high = sampled.min(axis=1, keepdims=True), sampled.max(axis=1, keepdims=True)
    below = np.where(sampled == high, low, sampled).max(axis=1, keepdims=True)
    is_far = (high - low > BEYOND_TIMES * (below - low)).ravel()
    return is_far & ((sampled == high).mean(axis=1) > MARKED_SHARE)


def _flat(images: np.ndarray) -> np.ndarray:
    """Mask (n,) of the images (n, H, W) with hardly any distinct values."""
    values = np.sort(images[:, ::LINES_PX].reshape(len(images), -1), axis=1)
    return (np.diff(values, axis=1) > 0).sum(axis=1) + 1 < FEWEST_GREYS


def _times(images: np.ndarray) -> np.ndarray:
    """The range of greys (n,) of each image (n, H, W) of a stack, as a multiple of the median range."""
    sampled = images[:, ::STEP_PX, ::STEP_PX].reshape(len(images), -1)
    low, high = np.quantile(sampled, RANGE, axis=1)
    return (high - low) / max(np.median(high - low), np.finfo(images.dtype).tiny)


def _noise(images: np.ndarray) -> np.ndarray:
    """Mask (n,) of the images (n, H, W) whose pixels are unlike those beside them, or those below."""
    columns = images[:, :, ::LINES_PX].swapaxes(1, 2)
    return np.minimum(_alike(images[:, ::LINES_PX]), _alike(columns)) < LEAST_ALIKE


def _alike(lines: np.ndarray) -> np.ndarray:
    """Correlation (n,) of pixels with their next neighbours in images (n, lines, pixels)."""
    greys = lines - lines.mean(axis=(1, 2), keepdims=True)
    spread = np.maximum((greys**2).mean(axis=(1, 2)), np.finfo(greys.dtype).tiny)
    return (greys[..., 1:] * greys[..., :-1]).mean(axis=(1, 2)) / spread


def _copies(numbers: Sequence[int]) -> list[bool]:
    counts = Counter(numbers)
    return [counts[number] > 1 for number in numbers]
