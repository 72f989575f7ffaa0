"""Whether a series looks as MRI does: what of pixels no header tells, and physics does.

Around and within a body much is black and little is white, neighbouring pixels are alike, and noise makes
every slice another one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from kitlib.mri.stack import Stack

FEWEST_PX = 64  # a side: of smaller images nothing is said
LINES_PX, STEP_PX = 32, 8  # between lines, and between pixels, that are looked at: few, for it costs reading
RANGE = (0.01, 0.99)  # quantiles between which greys are
END_SHARE = 0.1  # of this range, at either end
MOST_CLIPPED = 0.15  # of an image's pixels that have its largest value: .085 if windowed for a screen
MOST_TIMES = 10  # the median range of a stack's slices: towards the ends of a stack greys fade
LEAST_TIMES = 0.1  # that range: a slice of less is of air beside the body, and is noise by right
MARKED_SHARE, BEYOND_TIMES = 0.01, 2.0  # of pixels, and the range of the others
FEWEST_GREYS = 16  # of an image
LEAST_ALIKE = 0.5  # correlation of neighbours: 96 slices of a patient have 0.91 and more, of phantoms 0.80


def odd_looks(stacks: Sequence[Stack], numbers: Sequence[int]) -> Iterator[str]:
    """What is odd about the images of a series, in words; `numbers` are their `digests`."""
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
    # A small field of view of an axial slice may lie in fat from edge to edge: nothing is said of it.
    if stacks[0].plane == "sagittal" and _is_bright(large):
        yield "more is white than black, as in no sagittal MRI that is not inverted"


def digests(stacks: Sequence[Stack]) -> list[int]:
    """A number for each large image, in one process the same for the same rows of pixels."""
    return [hash(image[::LINES_PX].tobytes()) for images in _large(stacks) for image in images]


def _large(stacks: Sequence[Stack]) -> list[np.ndarray]:
    """The images (n, H, W) of those stacks of which something is said."""
    return [stack.pixels for stack in stacks if min(stack.pixels.shape[1:]) >= FEWEST_PX]


def _is_bright(stacks: Sequence[np.ndarray]) -> bool:
    """Whether more pixels of stacks (n, H, W) are at the bright end of their range than at the dark one."""
    greys = np.concatenate([images[:, ::STEP_PX, ::STEP_PX].ravel() for images in stacks])
    low, high = np.quantile(greys, RANGE)
    end = END_SHARE * (high - low)
    return bool((greys > high - end).sum() > (greys < low + end).sum())


def _clipped(images: np.ndarray) -> np.ndarray:
    """Which of the images (n, H, W) have many pixels of the largest value, (n,)."""
    sampled = images[:, ::STEP_PX, ::STEP_PX]
    return (sampled == sampled.max(axis=(1, 2), keepdims=True)).mean(axis=(1, 2)) > MOST_CLIPPED


def _marked(images: np.ndarray) -> np.ndarray:
    """Which of the images (n, H, W) have a frame or a patch of a value beyond all others, (n,)."""
    sampled = images[:, ::STEP_PX, ::STEP_PX].reshape(len(images), -1)
    low, high = sampled.min(axis=1, keepdims=True), sampled.max(axis=1, keepdims=True)
    below = np.where(sampled == high, low, sampled).max(axis=1, keepdims=True)
    is_far = (high - low > BEYOND_TIMES * (below - low)).ravel()
    return is_far & ((sampled == high).mean(axis=1) > MARKED_SHARE)


def _flat(images: np.ndarray) -> np.ndarray:
    """Which of the images (n, H, W) have hardly any different values, (n,)."""
    values = np.sort(images[:, ::LINES_PX].reshape(len(images), -1), axis=1)
    return (np.diff(values, axis=1) > 0).sum(axis=1) + 1 < FEWEST_GREYS


def _times(images: np.ndarray) -> np.ndarray:
    """How many times the range of greys of most images (n, H, W) of a stack each has, (n,)."""
    sampled = images[:, ::STEP_PX, ::STEP_PX].reshape(len(images), -1)
    low, high = np.quantile(sampled, RANGE, axis=1)
    return (high - low) / max(np.median(high - low), np.finfo(images.dtype).tiny)


def _noise(images: np.ndarray) -> np.ndarray:
    """Which of the images (n, H, W) have pixels unlike those beside them, or unlike those below, (n,)."""
    columns = images[:, :, ::LINES_PX].swapaxes(1, 2)
    return np.minimum(_alike(images[:, ::LINES_PX]), _alike(columns)) < LEAST_ALIKE


def _alike(lines: np.ndarray) -> np.ndarray:
    """The correlation (n,) of pixels with the next ones in their lines, of images (n, lines, pixels)."""
    greys = lines - lines.mean(axis=(1, 2), keepdims=True)
    spread = np.maximum((greys**2).mean(axis=(1, 2)), np.finfo(greys.dtype).tiny)
    return (greys[..., 1:] * greys[..., :-1]).mean(axis=(1, 2)) / spread


def _copies(numbers: Sequence[int]) -> list[bool]:
    counts = Counter(numbers)
    return [counts[number] > 1 for number in numbers]
