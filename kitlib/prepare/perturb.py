"""Degrade images step by step, to test the robustness of models."""

import cv2
import numpy as np

from kitlib.errors import known_name

GREY_STRENGTHS: dict[str, tuple[float, ...]] = {
    "gamma": (0.4, 0.6, 1.0, 1.6, 2.5),
    "bias": (0.0, 0.4, 0.8, 1.2),  # logarithm of the gain, front to back
    "inversion": (0.0, 1.0),
    "coarseness": (1.0, 2.0, 3.0),  # times larger pixels
    "noise": (0.0, 0.05, 0.1, 0.2),  # of the brightest percentile
}


def worse(grey: np.ndarray, name: str, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Degrade an image (H, W) in one way; its columns run to the back, and 0 is dark and 1 bright.

    GREY_STRENGTHS lists the perturbations and their units; raises UsageError for any other.
    """
    known_name(name, GREY_STRENGTHS, "perturbation")
    height, width = grey.shape
    match name:
        case "gamma":
            return grey**strength
        case "bias":
            return grey * np.exp(np.linspace(-strength, strength, width))
        case "inversion":
            return np.clip(1 - grey, 0, 1) if strength else grey
        case "coarseness":
            size = max(1, round(width / strength)), max(1, round(height / strength))
            return cv2.resize(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), (width, height))
    real, imaginary = rng.normal(0, strength, (2, *grey.shape))  # Rician noise, as in magnitude images
    return np.hypot(grey + real, imaginary)
