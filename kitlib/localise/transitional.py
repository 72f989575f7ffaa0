"""The lumbosacral junction: how likely a transitional vertebra makes the count of levels ambiguous.

A lumbarised S1 or a sacralised L5 can be counted in two ways, and the heatmaps, which learn one name for each
point, cannot express that. So a separate small network classifies sagittal crops around L5/S1.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kitlib.artefacts import facts_of
from kitlib.localise.network import SHIPPED, STRIDE, HeatmapNet, channels, resampled, stretched
from kitlib.localise.spine import Maps
from kitlib.machine import torch_threads
from kitlib.nn.weights import load_weights, restored, with_prefix

NAME = "junction"  # prefix of its tensors beside those of the other networks
CROP_PX, CROP_PX_MM = 64, 1.8
# A few slices do not show the transverse processes, and single ones of patients are unreliable: no answer.
LEAST_SLICES = 6
REACH_MM = 30.0  # to each side of the L5/S1 point: slices there show the transverse processes of L5
SHARE = 0.08  # of spines that are transitional (Konin, AJNR 2010: 4-30 %; phantoms: 7 %)


class JunctionNet(nn.Module):
    """From bags of crops (B, S, 2, 64, 64), S slices of one spine, to logits (B,) of a transitional vertebra.

    The encoder is that of HeatmapNet, with whose weights training starts. Slice logits are averaged, so that
    no single slice decides alone. The result is calibrated to patients by `temperature`, set on held-out
    persons, and `offset`, as transitional vertebrae are rarer in patients.
    """

    temperature: Tensor
    offset: Tensor

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = tuple(widths)
        whole = HeatmapNet(1, widths)
        self.stem, self.down = whole.stem, whole.down
        self.dropout = nn.Dropout(0.3)
        pixels = (CROP_PX // STRIDE >> len(self.down)) ** 2
        self.answer = nn.Linear(pixels * widths[-1], 1)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, crops: Tensor) -> Tensor:
        """Return logits (B,), calibrated once temperature and offset are set."""
        return self.slice_logits(crops).mean(dim=1) / self.temperature + self.offset

    def slice_logits(self, crops: Tensor) -> Tensor:
        """Return the logit of each slice (B, S), before calibration."""
        maps = self.stem(crops.flatten(0, 1))
        for shrink in self.down:
            maps = shrink(maps)
        return self.answer(self.dropout(maps.flatten(1)))[:, 0].unflatten(0, crops.shape[:2])


def load_junction(path: Path = SHIPPED) -> JunctionNet | None:
    """Load the junction network from a file of weights; None if the file has none."""
    widths = facts_of(path).get("widths", {}).get(NAME)
    if widths is None:
        return None
    return restored(JunctionNet(tuple(widths)), with_prefix(load_weights(path), f"{NAME}."), NAME, path)


@torch.inference_mode()
def transitional_chance(net: JunctionNet, series: Iterable[Maps], point_mm: np.ndarray) -> float | None:
    """Probability of a transitional vertebra, from the series that show the point (3,) of L5/S1.

    Their logits are averaged; None if they have fewer than LEAST_SLICES slices in total.
    """
    crops = [found for maps in series if (found := junction_crops(maps, point_mm)) is not None]
    if sum(map(len, crops)) < LEAST_SLICES:
        return None
    with torch_threads(1):
        logits = torch.stack([net(crop[None])[0] for crop in crops])
    return float(logits.mean().sigmoid())


def junction_crops(maps: Maps, point_mm: np.ndarray) -> Tensor | None:
    """Crop the slices read near a point around it, (S, 2, 64, 64); None if there is none.

    Pixels outside the image are black.
    """
    near = np.abs(maps.positions_mm - point_mm @ maps.stack.normal) <= REACH_MM
    height, width = maps.stack.pixels.shape[1:]
    col, row, _ = maps.stack.to_pixel(point_mm)
    if not near.any() or not (0 <= col < width and 0 <= row < height):
        return None
    images = torch.from_numpy(maps.stack.pixels[maps.indices[near]].astype(np.float32)).nan_to_num()
    sides = [max(2, round(CROP_PX * CROP_PX_MM / mm)) for mm in maps.stack.spacing_mm]
    top, left = round(row - (sides[0] - 1) / 2), round(col - (sides[1] - 1) / 2)
    padding = (-left, left + sides[1] - width, -top, top + sides[0] - height)  # negative padding crops
    native = F.pad(images, padding)[:, None]
    return channels(stretched(resampled(native, (CROP_PX, CROP_PX))[:, 0])[:, None])
