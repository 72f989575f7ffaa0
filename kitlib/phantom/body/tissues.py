"""Tissues: MR properties of their water and fat at 1.5 and 3 tesla, and their texture, which belongs to the
body, so that every series of a study shows the same one."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import grid_sample

FIELDS_T = (1.5, 3.0)
SOLID, SHEET = (28, 56, 56), (96, 96)  # nodes of the textures
SMOOTH = {len(SOLID): (0.8, 3.5), len(SHEET): (1.3, 5.5)}  # the two channels, in nodes


class Tissue(IntEnum):
    """The tissue at a point."""

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
    FLUID = 18  # in facet joints, and in fresh Schmorl nodes
    CARTILAGE = 19
    OEDEMA = 20  # marrow in Modic 1 and fresh fractures
    FATTY_MARROW = 21  # Modic 2
    SCLEROSIS = 22  # Modic 3
    METAL = 23
    KIDNEY = 24
    LIVER = 25
    NUCLEUS = 26  # of the lowest disc; those of the discs above follow, as each has its own water content


# For each tissue: proton density, share of it in fat, then T1 of its water at 1.5 and 3 T, and T2 at 1.5 and
# 3 T in ms. Rounded from Stanisz (Magn Reson Med 2005: muscle, cartilage, cord, blood, liver, kidney),
# de Bazelaire (Radiology 2004: muscle, liver, kidney, marrow) and Gold (AJR 2004: muscle, cartilage, joint
# fluid), between them where they differ; densities, fasciae, bowel and lesions are typical values. Because of
# inflow, CSF appears to relax faster than its 4300 ms at rest.
WATER = {
    Tissue.AIR: (0.0, 0.0, 1, 1, 1, 1),
    Tissue.SKIN: (0.55, 0.10, 700, 850, 28, 26),
    Tissue.FAT: (0.95, 0.92, 900, 1150, 40, 36),
    Tissue.MESENTERY: (0.88, 0.80, 900, 1150, 50, 46),
    Tissue.MUSCLE: (0.80, 0.02, 1010, 1400, 40, 37),
    Tissue.FASCIA: (0.36, 0.15, 750, 900, 20, 18),
    Tissue.CORTEX: (0.10, 0.15, 600, 700, 9, 8),
    Tissue.MARROW: (0.92, 0.42, 900, 1150, 55, 52),
    Tissue.LIGAMENT: (0.42, 0.04, 800, 950, 22, 20),
    Tissue.ANNULUS: (0.70, 0.0, 900, 1050, 38, 35),
    Tissue.CSF: (1.0, 0.0, 3700, 3700, 1800, 1500),
    Tissue.CORD: (0.78, 0.0, 760, 1000, 76, 78),
    Tissue.ROOT: (0.78, 0.0, 850, 1080, 72, 70),
    Tissue.ARTERY: (0.85, 0.0, 1440, 1930, 290, 275),
    Tissue.VEIN: (0.85, 0.0, 1440, 1930, 200, 150),
    Tissue.ORGAN: (0.78, 0.05, 850, 1050, 65, 60),
    Tissue.BOWEL: (0.72, 0.05, 1050, 1250, 58, 52),
    Tissue.GAS: (0.02, 0.0, 800, 900, 20, 15),
    Tissue.FLUID: (0.96, 0.0, 2850, 3600, 1000, 760),
    Tissue.CARTILAGE: (0.75, 0.0, 1040, 1200, 38, 34),
    Tissue.OEDEMA: (0.90, 0.15, 1250, 1550, 105, 98),
    Tissue.FATTY_MARROW: (0.95, 0.78, 900, 1150, 55, 52),
    Tissue.SCLEROSIS: (0.26, 0.15, 750, 900, 28, 25),
    Tissue.METAL: (0.0, 0.0, 1, 1, 1, 1),
    Tissue.KIDNEY: (0.85, 0.02, 970, 1170, 86, 78),
    Tissue.LIVER: (0.75, 0.04, 580, 810, 46, 38),
}
# T1 of fat follows from the inversion times that null it in practice (T1 = TI / ln 2), a little less than the
# 288 and 371 ms of Gold (AJR 2004); T2 is Gold's, measured with echo trains, which lengthen it as TSE does.
FAT_T1_MS, FAT_T2_MS = (238.0, 312.0), (160.0, 133.0)


def water_and_fat(water: np.ndarray, field_t: float, marrow_fat: float | None = None) -> np.ndarray:
    """Return proton density, T1 and T2 in ms of the tissues' water and of their fat: (2, tissues, 3).

    The nuclei of discs have the given `water` content in 0..1; `marrow_fat` replaces the default.
    """
    at = FIELDS_T.index(field_t)
    table = np.array(list(WATER.values()), dtype=float)
    if marrow_fat is not None:
        table[Tissue.MARROW, 1] = marrow_fat
    density, share = table[:, 0], table[:, 1]
    in_water = np.stack([density * (1 - share), table[:, 2 + at], table[:, 4 + at]], axis=1)
    nuclei = [0.70 + 0.20 * water, (950 + 550 * water) * (1, 1.15)[at], 38 + 130 * water**1.5]
    in_water = np.concatenate([in_water, np.stack(nuclei, axis=1)])
    in_fat = np.tile([0.0, FAT_T1_MS[at], FAT_T2_MS[at]], (len(in_water), 1))
    in_fat[: len(table), 0] = density * share
    return np.stack([in_water, in_fat])


@dataclass(frozen=True, eq=False)
class Texture:
    """Smooth noise of unit variance on lattices that are extended by mirroring; both have two channels, fine
    noise and patches some four times as large."""

    solid: np.ndarray  # (2, U, V, W) float32
    sheet: np.ndarray  # (2, U, V) float32; ten times as fast to look up

    def at(self, cell_mm: tuple[float, ...], *places_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Look up both channels (N,) at two or three coordinates (N,), with nodes `cell_mm` apart along each.

        With two coordinates the texture is constant along the third direction.
        """
        nodes = self.solid if len(cell_mm) == len(SOLID) else self.sheet
        sizes = nodes.shape[1:]
        # grid_sample expects the last axis first, with its ends at -1 and 1.
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
