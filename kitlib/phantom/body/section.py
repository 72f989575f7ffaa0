"""Cross-section of the spinal canal: outline of the dural sac, and the walls of what is open around it.

Functions take a lateral place `a` in mm (positive to the left) and the section's measures by name, as
`stenosis.draw_profile` makes them; they give places `b` in mm, positive to the back.
"""

import numpy as np
import torch
from torch import Tensor

RECESS_MM = 9.0  # from the midline to where a recess is measured; annotators' points are some 18 mm apart
CLEARANCE_MM = 0.4  # dura and ligament between the sac and what presses on it
FRONT_SHARE = 0.45  # of the sac's depth that lies in front of its widest part

_ANGLES = (np.arange(16) + 0.5) / 16 * np.pi / 2
LATERAL = np.r_[-np.sin(_ANGLES[::-1]), np.sin(_ANGLES)]
"""Places across a sac, in half widths, dense at its ends."""
LATERAL_WEIGHTS = np.r_[np.cos(_ANGLES[::-1]), np.cos(_ANGLES)] * np.pi / 2 / len(_ANGLES)

SHAPE = ("front_power_left", "front_power_right", "back_power_left", "back_power_right", "back_bend")
Measures = dict[str, Tensor]


def sac_share(t: Tensor, rows: Measures) -> tuple[Tensor, Tensor]:
    """How much of its full front and back half the sac has at t half widths from the midline, 0..1."""
    front_power = torch.where(t > 0, rows["front_power_left"], rows["front_power_right"])
    back_power = torch.where(t > 0, rows["back_power_left"], rows["back_power_right"])
    t = t.abs().clamp(max=1)
    return (1 - t**front_power).sqrt(), (1 - t**back_power) ** rows["back_bend"]


def sac(a: Tensor, rows: Measures) -> tuple[Tensor, Tensor]:
    """Front and back of the dural sac; they meet where it ends."""
    front, back = sac_share(a / rows["sac_half_width"], rows)
    widest = rows["sac_front"] + FRONT_SHARE * rows["sac_depth"]
    return (
        widest - FRONT_SHARE * rows["sac_depth"] * front,
        widest + (1 - FRONT_SHARE) * rows["sac_depth"] * back,
    )


def walls(a: Tensor, rows: Measures) -> tuple[Tensor, Tensor]:
    """Front and back wall of what is open: disc or body, and flavum or facets."""
    left = a > 0
    recess_front = torch.where(left, rows["recess_front_left"], rows["recess_front_right"])
    recess_back = torch.where(left, rows["recess_back_left"], rows["recess_back_right"])
    share = (a.abs() / RECESS_MM).clamp(0, 1)
    share = (share * share * (3 - 2 * share)) ** rows["hump"]
    closing = ((a.abs() - RECESS_MM) / (rows["half_width"] - RECESS_MM).clamp(min=0.5)).clamp(0, 1)
    less = (recess_back - recess_front) / 2 * (1 - (1 - closing**2).sqrt())
    front = torch.lerp(rows["front"], recess_front, share) + less
    back = torch.lerp(rows["sac_front"] + rows["sac_depth"] + CLEARANCE_MM, recess_back, share) - less
    sac_front, sac_back = sac(a, rows)
    beside = a.abs() > rows["sac_half_width"]
    front = torch.where(beside, front, torch.minimum(front, sac_front - CLEARANCE_MM))
    return front, torch.where(beside, back, torch.maximum(back, sac_back + CLEARANCE_MM))


def area_share(profile: dict[str, np.ndarray]) -> np.ndarray:
    """Cross-section (M,) of sacs of these shapes, each (M,), as a share of half width times depth."""
    rows = {name: torch.from_numpy(profile[name])[:, None] for name in SHAPE}
    front, back = sac_share(torch.from_numpy(LATERAL), rows)
    return ((FRONT_SHARE * front + (1 - FRONT_SHARE) * back) @ torch.from_numpy(LATERAL_WEIGHTS)).numpy()


def area_mm2(rows: Measures) -> float:
    """Cross-section of one sac as it lies between its walls, from measures (1,)."""
    a = torch.from_numpy(LATERAL) * rows["sac_half_width"]
    (front, back), (wall_front, wall_back) = sac(a, rows), walls(a, rows)
    open_mm = torch.minimum(back, wall_back) - torch.maximum(front, wall_front)
    return float((open_mm * torch.from_numpy(LATERAL_WEIGHTS)).sum() * rows["sac_half_width"])
