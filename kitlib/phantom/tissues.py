"""Tissues and what spins do in them."""

from enum import IntEnum

import numpy as np


class Tissue(IntEnum):
    """What lies at a point."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MESENTERY = 3
    MUSCLE = 4
    FASCIA = 5
    CORTEX = 6
    MARROW = 7
    LIGAMENT = 8
    ANNULUS = 9
    CSF = 10
    CORD = 11
    ROOT = 12
    ARTERY = 13
    VEIN = 14
    ORGAN = 15
    BOWEL = 16
    GAS = 17
    NUCLEUS = 18  # of the lowest disc; those of the discs above follow, as each has a water of its own


# Proton density, T1 and T2 in ms at 1.5 T, rounded from Stanisz (Magn Reson Med 2005) and de Bazelaire
# (Radiology 2004); T2 of fat as turbo spin echo shows it, flowing blood as a void.
RELAXATION = {
    Tissue.AIR: (0.0, 1.0, 1.0),
    Tissue.SKIN: (0.6, 500.0, 30.0),
    Tissue.FAT: (0.95, 300.0, 115.0),
    Tissue.MESENTERY: (0.80, 400.0, 90.0),
    Tissue.MUSCLE: (0.80, 1000.0, 40.0),
    Tissue.FASCIA: (0.40, 700.0, 22.0),
    Tissue.CORTEX: (0.12, 600.0, 15.0),
    Tissue.MARROW: (0.82, 400.0, 90.0),
    Tissue.LIGAMENT: (0.45, 800.0, 24.0),
    Tissue.ANNULUS: (0.68, 900.0, 36.0),
    Tissue.CSF: (1.00, 3600.0, 1500.0),
    Tissue.CORD: (0.80, 900.0, 80.0),
    Tissue.ROOT: (0.78, 950.0, 62.0),
    Tissue.ARTERY: (0.14, 1200.0, 80.0),
    Tissue.VEIN: (0.30, 1200.0, 120.0),
    Tissue.ORGAN: (0.78, 850.0, 65.0),
    Tissue.BOWEL: (0.72, 1100.0, 55.0),
    Tissue.GAS: (0.04, 800.0, 30.0),
}


def relaxation(water: np.ndarray) -> np.ndarray:
    """Proton density, T1 and T2 (tissues, 3), with nuclei of discs of the given water content in 0..1."""
    nuclei = np.stack([0.70 + 0.20 * water, 950 + 550 * water, 38 + 92 * water**1.5], axis=1)
    return np.concatenate([np.array(list(RELAXATION.values())), nuclei])
