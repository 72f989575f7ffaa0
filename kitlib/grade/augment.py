"""Views seen a little differently: moved, in other greys, blurred, and cut off as small images cut them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kitlib.nn.augment import Affine, Greys, Moves, moved
from kitlib.prepare.views import MARGIN_PX, VIEW_PX, VIEWS, View, without_margin
from kitlib.terms import AXIAL_T2, Place

MOVES = Moves(turn_deg=8.0, log_scale=0.18, log_stretch=0.06, shift=0.09)
GREYS = Greys(log_gamma=0.35, log_gain=0.2, log_bias=0.4, offset=0.04, noise=0.03)
BLURRED, COARSEST = 0.6, 2.4  # of batches; pixels of a view in one of the image it might be cut from
CUT_OFF, MOST_CUT = 0.3, 1 / 6  # of batches, and of a side that an image may lack
# How phantoms are looked at for patients to look like them: so much smaller, and about where annotators of
# patients mark a place, so far behind the point that phantoms have. Chosen on open studies (docs/grading.md).
place2smaller: dict[Place, float] = {"canal": 1.1, "foramen": 1.0, "recess": 1.2}
place2behind_mm: dict[Place, float] = {"canal": -2.0, "foramen": 3.0, "recess": 0.0}


def as_patients(views: Tensor) -> Affine:
    """How phantoms' views (N,), indices into VIEWS, are looked at for patients to look like them."""
    return Affine(*(torch.stack(parts)[views] for parts in zip(*map(_as_patient, VIEWS))))


def _as_patient(view: View) -> tuple[Tensor, Tensor]:
    """The matrix (2, 2) and the shift (2,), along x and y in halves of a side, of one kind of view."""
    smaller, behind_mm = place2smaller[view.place], place2behind_mm[view.place]
    back = torch.tensor([0.0, 1.0] if view.sequence == AXIAL_T2 else [1.0, 0.0], dtype=torch.float64)
    return smaller * torch.eye(2, dtype=torch.float64), 2 * behind_mm / view.side_mm * back


def changed(images: Tensor, views: Tensor, rng: torch.Generator | None, by: Affine | None = None) -> Tensor:
    """Images (N, S, MARGIN_PX, MARGIN_PX) in 0..1 as views of VIEW_PX; changed where there is an `rng`.

    `views` (N,) are indices into VIEWS: half of the axial ones around the canal are mirrored. What is seen is
    looked at `by` an affine, where one is given.
    """
    size, ratio = (VIEW_PX, VIEW_PX), VIEW_PX / MARGIN_PX
    if not len(images) or (rng is None and by is None):
        return without_margin(images)
    by = Affine.identity(len(images)) if by is None else by
    if rng is None:
        return moved(images, by.scaled(ratio), size=size)
    is_axial_canal = torch.tensor([view == ("canal", AXIAL_T2) for view in VIEWS])[views]
    mirrored = is_axial_canal & (torch.rand(len(views), generator=rng) < 0.5)
    images = moved(images, MOVES.draw(len(images), rng, mirrored).after(by).scaled(ratio), size=size)
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
