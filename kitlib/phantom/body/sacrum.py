"""Variation of the sacrum: disc remnants, squareness of S1, and curvature.

Levels are counted upwards from the sacrum, so its shapes vary as much as in patients. A remnant between S1
and S2 is seen in most adults, from a thin line to a small disc (O'Driscoll, Skeletal Radiol 1996).
"""

from dataclasses import dataclass

import numpy as np

from kitlib.phantom.body.vertebrae import LUMBOSACRAL

BODIES = LUMBOSACRAL + 1  # S4 to S1; the disc above each but the last is a sacral one
REMNANT_MM = 6.5  # largest height, of the best formed remnant
# Height and water of remnants relative to that of S1/S2, from S3/S4 up: sacra fuse from below.
LEFT_BELOW = np.array([0.3, 0.5, 1.0])
# Scatter of each body's depth and height (shares), taper and wedge (degrees), from S4 up; chosen by eye.
DEPTH_SD = np.array([0.12, 0.12, 0.1, 0.05])
HEIGHT_SD = 0.06
DISC_LOG_SD = 0.2
TAPER_SD, LEAST_TAPER = np.array([0.08, 0.08, 0.1, 0.1]), 0.15
WEDGE_SD_DEG = np.array([6.0, 5.0, 4.0, 3.5])


@dataclass(frozen=True, eq=False)
class Sacrum:
    """Individual shape of a sacrum: its vertebrae S4 to S1, from below, and the discs between them."""

    remnant_mm: np.ndarray  # (3,) heights of the discs S3/S4, S2/S3 and S1/S2
    extent: np.ndarray  # (3,) share of the bodies' width and depth that each fills, up to 1
    water: np.ndarray  # (3,) 0 black .. 1 bright on T2
    disc_height: float  # of L5/S1, 1 is typical for its wear
    depth: np.ndarray  # (4,) of the bodies, 1 is typical
    height: np.ndarray  # (4,) likewise
    taper: np.ndarray  # (4,) added to the typical one
    wedge: np.ndarray  # (4,) radians, added to the typical one


def draw_sacrum(rng: np.random.Generator) -> Sacrum:
    """Draw a sacrum whose remnant between S1 and S2 is anything from fused to well formed."""
    formed = rng.random() * LEFT_BELOW * np.r_[rng.uniform(0.3, 1, BODIES - 2), 1]
    scatter = rng.standard_normal((4, BODIES)).clip(-2.5, 2.5)
    return Sacrum(
        remnant_mm=0.8 + (REMNANT_MM - 0.8) * formed,
        extent=(0.35 + 0.55 * formed + rng.normal(0, 0.12, BODIES - 1)).clip(0.3, 1),
        water=rng.random(BODIES - 1) * (0.3 + 0.6 * formed),
        disc_height=float(np.exp(DISC_LOG_SD * np.clip(rng.standard_normal(), -2.5, 2))),
        depth=1 + DEPTH_SD * scatter[0],
        height=1 + HEIGHT_SD * scatter[1],
        taper=TAPER_SD * scatter[2],
        wedge=np.radians(WEDGE_SD_DEG * scatter[3]),
    )
