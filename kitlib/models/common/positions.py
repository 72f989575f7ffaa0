"""Where a slice lies in the spine, from its study alone, and on which slices to expect a cell.

Sagittal slices differ in x, which gives the side; axial slices differ in z, which gives the level. The origin
of patient coordinates is the scanner's, so both are made relative to the study's own coverage.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from kitlib.embed.tokens import Tokens
from kitlib.inputs.bags import BagDataset
from kitlib.terms import AXIAL_T2, CELLS, CONDITIONS, GROUPS, LEVELS, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES

SAGITTAL = (SAGITTAL_T1, SAGITTAL_T2)
X_MM, Z_FRACTION, Z_MM = range(3)
"""Columns of a position: x from the midline, fraction of the axial coverage, z from the study's centre."""

cell2condition = np.array([CONDITIONS.index(cell.condition) for cell in CELLS])
cell2group = np.array([GROUPS.index(cell.group) for cell in CELLS])
cell2level = np.array([LEVELS.index(cell.level) for cell in CELLS])
cell2side = np.array([{"left": 1, "right": -1, None: 0}[cell.side] for cell in CELLS])
"""The sign of x (patient left is positive in LPS), 0 for the canal."""

# Where a cell is expected before anything is learned. The distance of the foramina from the midline and the
# discs' fraction of the axial coverage are rounded means over annotated slices of the competition's tables; a
# lumbar segment is about 34 mm high.
LATERAL_MM = {"spinal": 0.0, "foraminal": 16.0, "subarticular": 8.0}
LEVEL_FRACTION = np.linspace(0.97, 0.06, len(LEVELS))
LEVEL_MM = 34.0 * (len(LEVELS) // 2 - np.arange(len(LEVELS)))
EXPECTED = np.stack(
    [[LATERAL_MM[cell.group] for cell in CELLS] * cell2side, LEVEL_FRACTION[cell2level], LEVEL_MM[cell2level]]
)
"""(3, 25), by the columns of a position."""
DEVIATIONS = np.array([5.0, 0.08, 20.0])
"""Standard deviations around EXPECTED, by the columns of a position."""


def relative_positions(data: BagDataset) -> list[dict[str, np.ndarray]]:
    """Return, per study and sequence, the relative positions (n, 3) of slices: X_MM, Z_FRACTION, Z_MM."""
    rows = range(len(data))
    return [_positions_of_study({name: data.tokens[name][row] for name in SEQUENCES}) for row in rows]


def _positions_of_study(tokens: dict[str, Tokens]) -> dict[str, np.ndarray]:
    positions_mm = {name: tokens[name].positions_mm.reshape(-1, 3) for name in SEQUENCES}
    sagittal = np.concatenate([positions_mm[name] for name in SAGITTAL])
    frame = sagittal if len(sagittal) else positions_mm[AXIAL_T2]
    if not len(frame):
        return {name: np.zeros((0, 3)) for name in SEQUENCES}
    x_mid, z_mid = np.median(frame[:, 0]), np.median(frame[:, 2])
    axial_z = positions_mm[AXIAL_T2][:, 2] if len(positions_mm[AXIAL_T2]) else np.zeros(1)
    foot, height = axial_z.min(), np.ptp(axial_z)

    def relative(at_mm: np.ndarray) -> np.ndarray:
        # A single axial slice, or none, covers no height, so the fraction is undefined: use 0.5.
        fraction = np.clip((at_mm[:, 2] - foot) / height, 0, 1) if height else np.full(len(at_mm), 0.5)
        return np.stack([at_mm[:, 0] - x_mid, fraction, at_mm[:, 2] - z_mid], axis=1)

    return {name: relative(at_mm) for name, at_mm in positions_mm.items()}


def expected_log_weights(
    positions: np.ndarray, columns: Sequence[int] = (X_MM, Z_FRACTION, Z_MM)
) -> np.ndarray:
    """Log weights (25, n), up to a constant, of slices at relative positions (n, 3) for each cell.

    Only the given columns of the positions are used.
    """
    offsets = np.stack([(positions[:, one] - EXPECTED[one, :, None]) / DEVIATIONS[one] for one in columns])
    return -0.5 * (offsets**2).sum(axis=0)


def expected_attention(data: BagDataset) -> list[dict[str, np.ndarray]]:
    """Return, per study and sequence, the expected weights (25, slices), whose rows sum to one."""
    return [
        {
            name: softmax(expected_log_weights(at), axis=-1) if len(at) else np.zeros((len(CELLS), 0))
            for name, at in study.items()
        }
        for study in relative_positions(data)
    ]
