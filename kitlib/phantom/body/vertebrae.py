"""Names, order and mean sizes of vertebrae and discs, from S4 up to T10."""

import numpy as np

from kitlib.terms import LEVELS

VERTEBRAE = ("S4", "S3", "S2", "S1", "L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10")  # from below
COUNT = len(VERTEBRAE)
LUMBOSACRAL = VERTEBRAE.index("S1")
ANCHOR = VERTEBRAE.index("L3")
# Width, depth and height of the body in mm, its lordotic wedge and that of the disc above it in degrees, and
# the height of that disc in mm: rounded means of adults (Panjabi, Spine 1992; Zhou, Eur Spine J 2000; Been,
# Eur Spine J 2010; the sacrum by eye). TAPER is how much wider a body is at its top than at its bottom.
WIDTH_MM = np.array([24, 31, 41, 48, 50, 48, 46, 44, 42, 39, 35, 32])
DEPTH_MM = np.array([10, 13, 17.5, 28.5, 34, 34.5, 34, 33, 32, 31, 30, 28])
HEIGHT_MM = np.array([18, 21, 24, 29, 27.5, 28, 28, 27.5, 27, 25, 22.5, 21])
BODY_WEDGE_DEG = np.array([-12, -8, -4, 7, 8, 2, 1, -1, -2, -4, -4, -4])
DISC_WEDGE_DEG = np.array([-2, -2, -3, 14, 12, 9, 7, 5, 1, -1, -1, 0])
DISC_HEIGHT_MM = np.array([0.8, 1.0, 2.4, 10.0, 11.0, 10.5, 9.5, 8.2, 7.0, 5.8, 5.0, 5.0])
TAPER = np.array([0.4, 0.3, 0.3, 0.4, 0.05, 0.02, 0, -0.02, -0.03, -0.04, -0.04, -0.04])
PEDICLE_MM = np.array([23, 23, 23, 23, 20.5, 17.8, 16.9, 15.9, 15, 14.3, 13.7, 13])  # from the midline
SIDES = (1, -1)  # left, right: the sign of x in patient coordinates, and the order of columns in `Openings`


def disc_of(level: str) -> int:
    """Return the index of a graded level's disc; discs are indexed by the vertebra below them."""
    return LUMBOSACRAL + len(LEVELS) - 1 - LEVELS.index(level)


GRADED = np.array([disc_of(level) for level in LEVELS])
"""Indices of the graded levels' discs, (5,) in the order of LEVELS."""
