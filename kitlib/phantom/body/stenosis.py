"""The measures of the canal's cross-section along the spine, and how degeneration changes them."""

import numpy as np

from kitlib.phantom.body import section
from kitlib.phantom.body.openings import NORMAL_DEPTH_MM, Openings
from kitlib.phantom.body.section import CLEARANCE_MM
from kitlib.terms import LEVELS

# At the bodies from S4 to T10, in mm, typical of adults: half the canal's depth and width; of the sac, which
# ends at S2, the depth, half the width, and how far it stands off the wall in front of it.
HALF_DEPTH_MM = (2, 3.5, 5, 7.0, 8.4, 8.4, 8.2, 8.2, 8.2, 8.0, 7.8, 7.6)
HALF_WIDTH_MM = (5, 7, 10, 13.0, 13.0, 12.4, 12.0, 11.8, 11.6, 11.2, 10.8, 10.6)
SAC_DEPTH_MM = (-6, -4, 3.5, 9.5, 13.0, 14.2, 14.6, 14.8, 15.0, 15.0, 14.4, 13.8)
SAC_HALF_WIDTH_MM = (0.5, 0.5, 2.5, 5.6, 7.0, 7.4, 7.4, 7.5, 7.5, 7.5, 7.5, 7.5)
STAND_OFF_MM = (2, 2, 2, 4.0, 2.0, 0.9, 0.7, 0.5, 0.5, 0.5, 0.5, 0.5)
DISC_STAND_OFF_MM = (0.2, 0.2, 0.2, 0.6, 3.0)  # at L1/L2 to L5/S1
RECESS_MM = 7.5  # depth beside the bodies
PAD_MM = 4.0  # of fat behind the sac
Profile = dict[str, np.ndarray]
"""Measures by name, one value per row of the canal's table (M,)."""


def draw_profile(
    s: np.ndarray,
    bodies_s: np.ndarray,
    discs_s: np.ndarray,
    reach_mm: np.ndarray,
    openings: Openings,
    rng: np.random.Generator,
) -> Profile:
    """Measures at arc lengths s; discs narrow what is within their reach (2, 5), above and below, in mm."""
    way = s[:, None] - discs_s
    near = np.exp(-((way / np.where(way > 0, reach_mm[0], reach_mm[1])) ** 4))  # (M, 5)
    normal = _normal(s, bodies_s, discs_s, openings)
    profile = normal | _narrowed(normal, near, openings, rng.uniform(0.6, 1.5, len(LEVELS)))
    profile["fat_pad"] = np.exp(-((way / 11) ** 4)).sum(axis=1)
    profile["at_body"] = np.exp(-(((s[:, None] - bodies_s) / 6) ** 2)).sum(axis=1)
    # Above a tight stenosis the roots are too long for their way and lie in loops.
    tight = np.clip(openings.lost_canal - 0.45, 0, None) * 3
    profile["loops"] = (np.exp(-(((way - 26) / 20) ** 4)) @ tight).clip(0, 1)
    return profile


def _normal(s: np.ndarray, bodies_s: np.ndarray, discs_s: np.ndarray, openings: Openings) -> Profile:
    """The canal as it would be without degeneration."""
    knots = np.r_[bodies_s, discs_s]
    order = np.argsort(knots)
    person = float((openings.normal_depth_mm / NORMAL_DEPTH_MM).mean())

    def between(at_bodies: np.ndarray, at_discs: np.ndarray | tuple[float, ...]) -> np.ndarray:
        return np.interp(s, knots[order], np.r_[at_bodies, at_discs][order])

    depth, half_width = np.array(SAC_DEPTH_MM) * person, np.array(SAC_HALF_WIDTH_MM)
    half_depth = np.interp(s, bodies_s, HALF_DEPTH_MM) * person
    stand_off = between(np.array(STAND_OFF_MM), DISC_STAND_OFF_MM)
    left, right = (
        between(np.full(len(bodies_s), RECESS_MM), depths) for depths in openings.normal_recess_mm.T
    )
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
    """Sac, walls and shapes with what discs in front and facets and flavum behind have taken."""
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
    return profile | {
        "sac_half_width": (area / (profile["sac_depth"] * section.area_share(profile))).clip(
            0.1, section.RECESS_MM
        )
    }
