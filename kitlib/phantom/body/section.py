"""Cross-section of the spinal canal: the dural sac, the walls around it, and how degeneration changes them.

Outlines take lateral positions `a` in mm (positive to the left) and the section's measures by name, as made
by `draw_profile`; they return positions `b` in mm, positive to the back.
"""

import numpy as np
import torch
from torch import Tensor

from kitlib.phantom.body.openings import NORMAL_DEPTH_MM, Openings
from kitlib.terms import LEVELS

RECESS_MM = 9.0  # from the midline to the measured point of a recess; annotators' points are some 18 mm apart
CLEARANCE_MM = 0.4  # dura and ligament between the sac and the walls
FRONT_SHARE = 0.45  # of the sac's depth in front of its widest part
# At the bodies from S4 to T10, in mm, typical of adults: half depth and half width of the canal; depth and
# half width of the sac, which ends at S2, and its distance from the wall in front of it.
HALF_DEPTH_MM = (2, 3.5, 5, 7.0, 8.4, 8.4, 8.2, 8.2, 8.2, 8.0, 7.8, 7.6)
HALF_WIDTH_MM = (5, 7, 10, 13.0, 13.0, 12.4, 12.0, 11.8, 11.6, 11.2, 10.8, 10.6)
SAC_DEPTH_MM = (-6, -4, 3.5, 9.5, 13.0, 14.2, 14.6, 14.8, 15.0, 15.0, 14.4, 13.8)
SAC_HALF_WIDTH_MM = (0.5, 0.5, 2.5, 5.6, 7.0, 7.4, 7.4, 7.5, 7.5, 7.5, 7.5, 7.5)
STAND_OFF_MM = (2, 2, 2, 4.0, 2.0, 0.9, 0.7, 0.5, 0.5, 0.5, 0.5, 0.5)
DISC_STAND_OFF_MM = (0.2, 0.2, 0.2, 0.6, 3.0)  # at L1/L2 to L5/S1
BODY_RECESS_MM = 7.5  # depth beside the bodies
PAD_MM = 4.0  # of fat behind the sac

_ANGLES = (np.arange(16) + 0.5) / 16 * np.pi / 2
LATERAL = np.r_[-np.sin(_ANGLES[::-1]), np.sin(_ANGLES)]
"""Positions across a sac, in half widths, dense at its ends."""
LATERAL_WEIGHTS = np.r_[np.cos(_ANGLES[::-1]), np.cos(_ANGLES)] * np.pi / 2 / len(_ANGLES)

SHAPE = ("front_power_left", "front_power_right", "back_power_left", "back_power_right", "back_bend")
Measures = dict[str, Tensor]
Profile = dict[str, np.ndarray]
"""Measures for each row of the canal's table, (M,)."""


def sac_share(t: Tensor, rows: Measures) -> tuple[Tensor, Tensor]:
    """Return the sac's front and back extent, 0..1 of their maxima, at t half widths from the midline."""
    front_power = torch.where(t > 0, rows["front_power_left"], rows["front_power_right"])
    back_power = torch.where(t > 0, rows["back_power_left"], rows["back_power_right"])
    t = t.abs().clamp(max=1)
    return (1 - t**front_power).sqrt(), (1 - t**back_power) ** rows["back_bend"]


def sac(a: Tensor, rows: Measures) -> tuple[Tensor, Tensor]:
    """Return front and back of the dural sac; they meet at its ends."""
    front, back = sac_share(a / rows["sac_half_width"], rows)
    depth = rows["sac_depth"]
    widest = rows["sac_front"] + FRONT_SHARE * depth
    return widest - FRONT_SHARE * depth * front, widest + (1 - FRONT_SHARE) * depth * back


def walls(a: Tensor, rows: Measures) -> tuple[Tensor, Tensor]:
    """Return the front wall (disc or body) and back wall (flavum or facets) of the opening."""
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


def area_share(profile: Profile) -> np.ndarray:
    """Return the area (M,) of sacs of these shapes, each (M,), as a share of half width times depth."""
    rows = {name: torch.from_numpy(profile[name])[:, None] for name in SHAPE}
    front, back = sac_share(torch.from_numpy(LATERAL), rows)
    return ((FRONT_SHARE * front + (1 - FRONT_SHARE) * back) @ torch.from_numpy(LATERAL_WEIGHTS)).numpy()


def area_mm2(rows: Measures) -> float:
    """Return the cross-sectional area of one sac between its walls, from measures (1,)."""
    a = torch.from_numpy(LATERAL) * rows["sac_half_width"]
    (front, back), (wall_front, wall_back) = sac(a, rows), walls(a, rows)
    open_mm = torch.minimum(back, wall_back) - torch.maximum(front, wall_front)
    return float((open_mm * torch.from_numpy(LATERAL_WEIGHTS)).sum() * rows["sac_half_width"])


def draw_profile(
    s: np.ndarray,
    bodies_s: np.ndarray,
    discs_s: np.ndarray,
    reach_mm: np.ndarray,
    openings: Openings,
    rng: np.random.Generator,
) -> Profile:
    """Draw measures at arc lengths s; discs narrow the canal within `reach_mm` (2, 5), above and below."""
    way = s[:, None] - discs_s
    near = np.exp(-((way / np.where(way > 0, reach_mm[0], reach_mm[1])) ** 4))  # (M, 5)
    normal = _normal(s, bodies_s, discs_s, openings)
    profile = normal | _narrowed(normal, near, openings, rng.uniform(0.6, 1.5, len(LEVELS)))
    profile["fat_pad"] = np.exp(-((way / 11) ** 4)).sum(axis=1)
    profile["at_body"] = np.exp(-(((s[:, None] - bodies_s) / 6) ** 2)).sum(axis=1)
    # Above a tight stenosis the roots are redundant and form loops.
    tight = np.clip(openings.lost_canal - 0.45, 0, None) * 3
    profile["loops"] = (np.exp(-(((way - 26) / 20) ** 4)) @ tight).clip(0, 1)
    return profile


def _normal(s: np.ndarray, bodies_s: np.ndarray, discs_s: np.ndarray, openings: Openings) -> Profile:
    """The canal without degeneration."""
    knots = np.r_[bodies_s, discs_s]
    order = np.argsort(knots)
    person = float((openings.normal_depth_mm / NORMAL_DEPTH_MM).mean())

    def between(at_bodies: np.ndarray, at_discs: np.ndarray | tuple[float, ...]) -> np.ndarray:
        return np.interp(s, knots[order], np.r_[at_bodies, at_discs][order])

    depth, half_width = np.array(SAC_DEPTH_MM) * person, np.array(SAC_HALF_WIDTH_MM)
    half_depth = np.interp(s, bodies_s, HALF_DEPTH_MM) * person
    stand_off = between(np.array(STAND_OFF_MM), DISC_STAND_OFF_MM)
    beside = np.full(len(bodies_s), BODY_RECESS_MM)
    left, right = (between(beside, depths) for depths in openings.normal_recess_mm.T)
    return {
        "half_depth": half_depth,
        "half_width": np.interp(s, bodies_s, HALF_WIDTH_MM),
        "sac_depth": between(depth, openings.normal_depth_mm).clip(0.01),
        "sac_area": between(1.6 * half_width * depth, openings.normal_area_mm2).clip(0.01),
        "stand_off": stand_off,
        "sac_front": stand_off + 0.6 - half_depth,
        "recess_left": left,
        "recess_right": right,
    }


def _narrowed(normal: Profile, near: np.ndarray, openings: Openings, hump: np.ndarray) -> Profile:
    """Sac, walls and shapes, narrowed by discs in front and by facets and flavum behind."""
    of_front = near @ openings.from_front + 0.5 * (1 - near.sum(axis=1))
    lost = near @ openings.lost_canal
    lost_mm = near @ (openings.normal_depth_mm - openings.depth_mm)
    sac_front = normal["sac_front"] + of_front * lost_mm
    profile = {
        "near": near.sum(axis=1),
        "lost": lost,
        "behind": (1 - of_front) * lost,
        "hump": 1 + near @ (hump - 1),
        "sac_front": sac_front,
        "sac_depth": normal["sac_depth"] - lost_mm,
        "front": sac_front - CLEARANCE_MM - normal["stand_off"] * (1 - 2.5 * lost).clip(0),
        "apex": normal["sac_front"] + normal["sac_depth"] + PAD_MM,
        "back_bend": 0.5 + 0.6 * lost,
    }
    for column, side in enumerate(("left", "right")):
        beside = near @ openings.lost_recess[:, column]
        beside_mm = near @ (openings.normal_recess_mm - openings.recess_mm)[:, column]
        front = 1 - normal["half_depth"]
        profile |= {
            f"recess_front_{side}": front + of_front * beside_mm,
            f"recess_back_{side}": front + normal[f"recess_{side}"] - (1 - of_front) * beside_mm,
            f"front_power_{side}": 2.8 - 1.3 * beside,
            f"back_power_{side}": 2.0 - 0.4 * beside - 0.4 * lost,
        }
    area = normal["sac_area"] - near @ (openings.normal_area_mm2 - openings.area_mm2)
    half_width = area / (profile["sac_depth"] * area_share(profile))
    return profile | {"sac_half_width": half_width.clip(0.1, RECESS_MM)}
