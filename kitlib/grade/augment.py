"""Augmentation of views: affine and intensity changes, blur, and cropping as at the edges of small images."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kitlib.nn.augment import Affine, Greys, Moves, moved
from kitlib.prepare.views import MARGIN_PX, VIEW_PX, VIEWS, View, without_margin
from kitlib.terms import AXIAL_T2, Place

MOVES = Moves(turn_deg=8.0, log_scale=0.18, log_stretch=0.06, shift=0.09)
GREYS = Greys(log_gamma=0.35, log_gain=0.2, log_bias=0.4, offset=0.04, noise=0.03)
BLURRED, COARSEST = 0.6, 2.4  # share of batches; largest pixel of a source image, in pixels of a view
CUT_OFF, MOST_CUT = 0.3, 1 / 6  # share of batches; largest share of a side that an image may lack
# Patients are smaller than phantoms by this factor, and annotators mark places this far behind the point that
# phantoms have there. Chosen on open studies (docs/grading_trials.md).
SMALLER = 1.11
place2behind_mm: dict[Place, float] = {"canal": -2.0, "foramen": 3.0, "recess": 0.0}


def as_patients(views: Tensor) -> Affine:
    """Return the affine by which phantoms' views (N,), indices into VIEWS, match those of patients."""
    sizes = SMALLER * torch.eye(2, dtype=torch.float64).repeat(len(views), 1, 1)
    return Affine(sizes, SMALLER * torch.tensor([_behind(view) for view in VIEWS]).double()[views])


def _behind(view: View) -> tuple[float, float]:
    """Offset of annotators' points from those of phantoms along x and y, in halves of a side."""
    share = 2 * place2behind_mm[view.place] / view.side_mm
    return (0.0, share) if view.sequence == AXIAL_T2 else (share, 0.0)


def changed(images: Tensor, views: Tensor, rng: torch.Generator | None, by: Affine | None = None) -> Tensor:
    """Cut images (N, S, MARGIN_PX, MARGIN_PX) in 0..1 to views of VIEW_PX; augment them if `rng` is given.

    `views` (N,) are indices into VIEWS: half of the axial ones around the canal are mirrored. With `by`,
    images are resampled by that affine, and random moves are applied on top of it.
    """
    size, ratio = (VIEW_PX, VIEW_PX), VIEW_PX / MARGIN_PX
    if not len(images) or (rng is None and by is None):
        return without_margin(images)
    by = Affine.identity(len(images)) if by is None else by
    if rng is None:
        return moved(images, by.scaled(ratio), size=size)
    is_axial_canal = torch.tensor([view == ("canal", AXIAL_T2) for view in VIEWS])[views]
    mirrored = is_axial_canal & (torch.rand(len(views), generator=rng) < 0.5)
    drawn = MOVES.draw(len(images), rng, mirrored)
    looked = Affine(by.matrices @ drawn.matrices, by.shifts + drawn.shifts)
    images = moved(images, looked.scaled(ratio), size=size)
    images = GREYS.change(images, rng)
    if torch.rand(1, generator=rng) < BLURRED:
        coarse = round(VIEW_PX / (1 + (COARSEST - 1) * float(torch.rand(1, generator=rng))))
        images = F.interpolate(
            F.interpolate(images, size=(coarse, coarse), mode="area"), size=size, mode="bilinear"
        )
    if torch.rand(1, generator=rng) < CUT_OFF:
        top, bottom, left, right = (MOST_CUT * VIEW_PX * torch.rand(4, generator=rng)).int().tolist()
        images = F.pad(
            images[..., top : VIEW_PX - bottom, left : VIEW_PX - right], (left, right, top, bottom)
        )
    return images
