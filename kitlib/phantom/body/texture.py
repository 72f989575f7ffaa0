"""Random texture that belongs to the body, so that every series of a study sees the same."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import grid_sample

SOLID = (28, 56, 56)
SHEET = (96, 96)
SMOOTH = {len(SOLID): (0.8, 3.5), len(SHEET): (1.3, 5.5)}  # the two channels, in nodes


@dataclass(frozen=True, eq=False)
class Texture:
    """Smooth noise of unit variance on lattices that are mirrored without end; both have two channels, fine
    noise and patches some four times as large."""

    solid: np.ndarray  # (2, U, V, W) float32
    sheet: np.ndarray  # (2, U, V) float32; ten times as quick to look up

    def at(self, cell_mm: tuple[float, ...], *places_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Both channels (N,) at two or three coordinates (N,) each, with nodes `cell_mm` apart along each.

        What two make of space is drawn out along where both are constant.
        """
        nodes = self.solid if len(cell_mm) == len(SOLID) else self.sheet
        sizes = nodes.shape[1:]
        # grid_sample wants the last axis first, its ends at -1 and 1.
        scaled = [place * (2 / cell / (size - 1)) for place, cell, size in zip(places_mm, cell_mm, sizes)]
        grid = torch.stack(scaled[::-1], dim=-1).view(1, *(1,) * (len(sizes) - 1), -1, len(sizes))
        values = torch.from_numpy(nodes).to(grid.device)[None]
        fine, patches = grid_sample(values, grid, padding_mode="reflection", align_corners=True).view(2, -1)
        return fine, patches


def draw_texture(rng: np.random.Generator) -> Texture:
    """Draw a body's texture."""
    return Texture(_drawn(SOLID, rng), _drawn(SHEET, rng))


def _drawn(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    lots = rng.standard_normal((2, *shape), dtype=np.float32)
    smooth = [gaussian_filter(one, sigma, mode="reflect") for one, sigma in zip(lots, SMOOTH[len(shape)])]
    return np.stack([one / one.std() for one in smooth])
