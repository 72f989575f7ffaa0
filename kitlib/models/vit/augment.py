"""Other patients from the same slices: mirrored; and each slice moved, scaled and of another contrast."""

import torch
from torch.nn.functional import affine_grid, grid_sample

from kitlib.models.common.positions import X_MM
from kitlib.models.neural.batches import View
from kitlib.terms import AXIAL_T2, CELLS, Cell

SHIFT, LOG_SCALE = 0.05, 0.08
"""Standard deviations: of half a slice's side, and of the logarithm."""
LOG_GAIN, OFFSET = 0.2, 0.02
"""Of the contrast's logarithm, and of the brightness, where white is 1."""


def _mirrored(cell: Cell) -> Cell:
    opposite = {"left": "right", "right": "left"}
    return Cell(cell.condition.replace(cell.side, opposite[cell.side]), cell.level) if cell.side else cell


mirrored_cells = [CELLS.index(_mirrored(cell)) for cell in CELLS]
"""The cell that each cell becomes when left and right are exchanged."""


def mirrored(view: View, chosen: torch.Tensor, sequence: str) -> View:
    """The view with the chosen (B,) patients mirrored: their slices change sides, axial ones also within.

    Sagittal slices are the same in a mirrored patient, and come in the opposite order.
    """
    places = view.places.clone()
    places[..., X_MM] *= torch.where(chosen, -1.0, 1.0)[:, None]
    vectors = view.vectors
    if sequence == AXIAL_T2:
        px = round(vectors.shape[-1] ** 0.5)
        flipped = vectors.unflatten(-1, (px, px)).flip(-1).flatten(-2)
        vectors = torch.where(chosen[:, None, None], flipped, vectors)
    return View(vectors, places, view.present)


def sampled(view: View, log_weights: torch.Tensor, most: int) -> View:
    """At most so many slices of each study, drawn without replacement by log weights (B, T)."""
    # The largest of log weights plus Gumbel noise are such a draw.
    noise = -torch.empty_like(log_weights).exponential_().log()
    scores = (log_weights + noise).masked_fill(~view.present, -torch.inf)
    drawn = scores.topk(min(most, scores.shape[1])).indices
    present = torch.zeros_like(view.present).scatter(1, drawn, True) & view.present
    return View(view.vectors, view.places, present)


def distorted(view: View) -> View:
    """The view with each of its slices shifted, scaled, and brighter or darker."""
    slices = view.vectors[view.present]
    if not len(slices):
        return view
    px = round(slices.shape[-1] ** 0.5)
    draws = torch.randn(5, len(slices), device=slices.device)
    scale, zero = (LOG_SCALE * draws[0]).exp(), torch.zeros_like(draws[0])
    affine = torch.stack([scale, zero, SHIFT * draws[1], zero, scale, SHIFT * draws[2]], -1)
    grid = affine_grid(affine.reshape(-1, 2, 3), [len(slices), 1, px, px], align_corners=False)
    moved = grid_sample(slices.reshape(-1, 1, px, px), grid, padding_mode="border", align_corners=False)
    gain, offset = (LOG_GAIN * draws[3]).exp()[:, None], OFFSET * draws[4][:, None]
    vectors = view.vectors.clone()
    vectors[view.present] = moved.flatten(1) * gain + offset
    return View(vectors, view.places, view.present)
