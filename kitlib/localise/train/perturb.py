"""Degrade images and their landmarks step by step, to test the robustness of a localiser."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from kitlib.prepare.perturb import GREY_STRENGTHS, worse

STRENGTHS: dict[str, tuple[float, ...]] = {
    **GREY_STRENGTHS,
    "rotation": (-15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0),  # degrees
    "cropped": (60.0, 40.0, 25.0, 15.0, 5.0),  # mm kept below L5/S1
}


@dataclass(frozen=True, eq=False)
class Case:
    """One mid-sagittal image, head up and face to the left, with known canal points."""

    name: str
    image: np.ndarray  # (H, W)
    spacing_mm: tuple[float, float]
    level2xy: Mapping[str, np.ndarray]  # (2,) column and row


def perturbed(case: Case, name: str, strength: float, rng: np.random.Generator) -> Case:
    """Degrade a case in one way; STRENGTHS lists the perturbations and their units."""
    low, high = np.percentile(case.image, (1, 99))
    grey = np.clip((case.image.astype(np.float32) - low) / max(high - low, 1e-6), 0, None)
    if name == "rotation":
        return _rotated(case, grey, strength)
    if name == "cropped":  # everything below a row is black; the field of view stays the same
        last = round(case.level2xy["l5_s1"][1] + strength / case.spacing_mm[0])
        return replace(case, image=np.where(np.arange(len(grey))[:, None] > last, 0, grey))
    return replace(case, image=worse(grey, name, strength, rng))


def _rotated(case: Case, grey: np.ndarray, degrees: float) -> Case:
    """Rotate a case about the image's centre, in millimetres."""
    scale = np.array(case.spacing_mm[::-1])
    centre = (np.array(grey.shape[::-1]) - 1) / 2
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.diag(1 / scale) @ np.array([[cosine, sine], [-sine, cosine]]) @ np.diag(scale)
    matrix = np.column_stack([turn, centre - turn @ centre])
    image = cv2.warpAffine(grey, matrix, grey.shape[::-1], flags=cv2.INTER_LINEAR)
    moved = {level: turn @ (xy - centre) + centre for level, xy in case.level2xy.items()}
    return replace(case, image=image, level2xy=moved)
