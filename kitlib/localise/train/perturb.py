"""Images made worse step by step, with their landmarks: what a localiser must bear."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

STRENGTHS: dict[str, tuple[float, ...]] = {
    "gamma": (0.4, 0.6, 1.0, 1.6, 2.5),
    "bias": (0.0, 0.4, 0.8, 1.2),  # logarithm of the gain, front to back
    "inversion": (0.0, 1.0),
    "rotation": (-15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0),  # degrees
    "coarseness": (1.0, 2.0, 3.0),  # times larger pixels
    "noise": (0.0, 0.05, 0.1, 0.2),  # of the brightest percent
    "cropped": (60.0, 40.0, 25.0, 15.0, 5.0),  # mm below L5/S1 that are left
}


@dataclass(frozen=True, eq=False)
class Case:
    """One mid-sagittal image, head up and face to the left, whose canal points are known."""

    name: str
    image: np.ndarray  # (H, W)
    spacing_mm: tuple[float, float]
    level2xy: Mapping[str, np.ndarray]  # (2,) column and row


def perturbed(case: Case, name: str, strength: float, rng: np.random.Generator) -> Case:
    """The case with one thing made worse; STRENGTHS says which and in what unit."""
    low, high = np.percentile(case.image, (1, 99))
    grey = np.clip((case.image.astype(np.float32) - low) / max(high - low, 1e-6), 0, None)
    if name == "rotation":
        return _rotated(case, grey, strength)
    return Case(case.name, name2change[name](grey, strength, case, rng), case.spacing_mm, case.level2xy)


Change = Callable[[np.ndarray, float, Case, np.random.Generator], np.ndarray]


def _gamma(grey: np.ndarray, strength: float, _: Case, __: np.random.Generator) -> np.ndarray:
    return grey**strength


def _bias(grey: np.ndarray, strength: float, _: Case, __: np.random.Generator) -> np.ndarray:
    return grey * np.exp(np.linspace(-strength, strength, grey.shape[1]))


def _inversion(grey: np.ndarray, strength: float, _: Case, __: np.random.Generator) -> np.ndarray:
    return np.clip(1 - grey, 0, 1) if strength else grey


def _coarse(grey: np.ndarray, strength: float, _: Case, __: np.random.Generator) -> np.ndarray:
    height, width = grey.shape
    size = max(1, round(width / strength)), max(1, round(height / strength))
    return cv2.resize(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), (width, height))


def _noisy(grey: np.ndarray, strength: float, _: Case, rng: np.random.Generator) -> np.ndarray:
    real, imaginary = rng.normal(0, strength, (2, *grey.shape))
    return np.hypot(grey + real, imaginary)


def _cropped(grey: np.ndarray, strength: float, case: Case, _: np.random.Generator) -> np.ndarray:
    """All below a height is missing; the field of view stays where it is."""
    last = round(case.level2xy["l5_s1"][1] + strength / case.spacing_mm[0])
    return np.where(np.arange(len(grey))[:, None] > last, 0, grey)


name2change: dict[str, Change] = {
    "gamma": _gamma,
    "bias": _bias,
    "inversion": _inversion,
    "coarseness": _coarse,
    "noise": _noisy,
    "cropped": _cropped,
}


def _rotated(case: Case, grey: np.ndarray, degrees: float) -> Case:
    """Turned about the image's centre, in millimetres."""
    scale = np.array(case.spacing_mm[::-1])
    centre = (np.array(grey.shape[::-1]) - 1) / 2
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.diag(1 / scale) @ np.array([[cosine, sine], [-sine, cosine]]) @ np.diag(scale)
    matrix = np.column_stack([turn, centre - turn @ centre])
    image = cv2.warpAffine(grey, matrix, grey.shape[::-1], flags=cv2.INTER_LINEAR)
    moved = {level: turn @ (xy - centre) + centre for level, xy in case.level2xy.items()}
    return Case(case.name, image, case.spacing_mm, moved)
