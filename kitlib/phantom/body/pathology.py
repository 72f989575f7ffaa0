"""Findings of a spine other than the graded narrowing, from random draws that are then weighted by wear."""

from dataclasses import dataclass

import numpy as np

from kitlib.phantom.body.person import Person
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import COUNT, DEPTH_MM, GRADED, HEIGHT_MM, LUMBOSACRAL, VERTEBRAE, WIDTH_MM

LUMBARISED, SACRALISED = "lumbarised S1", "sacralised L5"
LUMBARISED_RATE, SACRALISED_RATE = 0.025, 0.045  # together within the 4-30 % reviewed by Konin (AJNR 2010)
METAL_RATE = 0.02
METAL = (("L5", "S1"), ("L4", "L5"), ("L4", "L5", "S1"))
ISTHMIC_RATE = 0.04  # of L5, with a slip; pars defects in general occur in 6-11 % (Kalichman, Spine 2009)
SCHMORL_RATE = 0.16  # of people (Mok, Spine 2010)
SCHMORL_DISCS = (5, 10)  # L3/L4 to T11/T12
HAEMANGIOMA_RATE = 0.05
FRACTURED = np.isin(VERTEBRAE, ("L2", "L1", "T12", "T11"))
MODIC_TISSUE = (Tissue.MARROW, Tissue.OEDEMA, Tissue.FATTY_MARROW, Tissue.SCLEROSIS)
MODIC_SHARES = (0.27, 0.88)  # cumulative, of types 1 and 2; type 3 is rare (Jensen, Eur Spine J 2008)


@dataclass(frozen=True)
class Change:
    """An ellipsoid of changed tissue beside an endplate: lateral, dorsal and deep, in mm."""

    kind: str
    tissue: int
    up: int  # 1 at the upper endplate, -1 at the lower
    centre_mm: tuple[float, float, float]
    half_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Pathology:
    """The findings of a spine; discs are indexed by the vertebra below them."""

    transitional: str
    metal: tuple[int, ...]  # vertebrae with pedicle screws
    slip_mm: np.ndarray  # (12,) per disc, positive if the vertebra above is displaced forward
    pars_gap_mm: float  # of L5, 0 if its arch is intact
    modic: np.ndarray  # (12,) per disc, type 0 to 3
    front_loss: np.ndarray  # (12,) share of anterior height lost to a wedge fracture
    sunken_mm: np.ndarray  # (12,) depth by which a biconcave fracture depresses each endplate
    changes: tuple[tuple[Change, ...], ...]  # of each vertebra


def draw_pathology(person: Person, worn: np.ndarray, rng: np.random.Generator) -> Pathology:
    """Draw findings of a spine with disc wear (12,) in 0..1; wear affects outcomes, not the random draws."""
    who, place, more = rng.random(8), rng.random((6, COUNT)), rng.random((7, COUNT))
    kinds = (LUMBARISED, SACRALISED, "")
    transitional = kinds[np.digitize(who[0], (LUMBARISED_RATE, LUMBARISED_RATE + SACRALISED_RATE))]
    slip, gap = _slips(person, worn, who[1], place[0], more[0], transitional)
    front_loss, sunken, fresh = _fractures(person, place[1], more[1:3])
    modic = _modic(worn, place[2], place[3])
    changes: list[list[Change]] = [[] for _ in VERTEBRAE]
    for disc in np.flatnonzero(modic):
        for body, up in ((disc, 1), (disc + 1, -1)):
            changes[body].append(_modic_band(int(modic[disc]), body, up, more[3:6, disc]))
    for body in np.flatnonzero(fresh):
        half = (0.55 * WIDTH_MM[body], 0.6 * DEPTH_MM[body], 7.0)
        changes[body].append(Change("fracture", Tissue.OEDEMA, 1, (0.0, -3.0, 0.0), half))
    if who[2] < HAEMANGIOMA_RATE:
        body = LUMBOSACRAL + 1 + int(who[3] * 7)
        changes[body].append(_haemangioma(more[6]))
    for body, change in _schmorl_nodes(who[4], place[4:6].ravel()):
        changes[body].append(change)
    names = METAL[int(who[6] * len(METAL))] if who[5] < METAL_RATE else ()
    metal = tuple(VERTEBRAE.index(name) for name in names)
    return Pathology(transitional, metal, slip, gap, modic, front_loss, sunken, tuple(map(tuple, changes)))


def _slips(
    person: Person, worn: np.ndarray, lot: float, lots: np.ndarray, sizes: np.ndarray, transitional: str
) -> tuple[np.ndarray, float]:
    """Degenerative slips at L4/L5, isthmic at L5/S1, small retrolistheses above (Kalichman, Spine 2009)."""
    slip = np.zeros(COUNT)
    age = np.clip((person.age_years - 40) / 40, 0, 1)
    degenerative = 0.22 * worn * age * (1.4 if person.female else 0.7)
    l5_s1, l4_l5 = GRADED[4], GRADED[3]
    if lots[l4_l5] < degenerative[l4_l5]:
        slip[l4_l5] = 3 + 7 * sizes[l4_l5] ** 1.5
    backwards = GRADED[1:3]
    slip[backwards] = np.where(lots[backwards] < 0.09 * worn[backwards], -2 - 2 * sizes[backwards], 0)
    isthmic = lot < ISTHMIC_RATE and transitional != SACRALISED
    if isthmic:
        slip[l5_s1] = 3 + 7 * sizes[l5_s1] ** 1.5
    return slip, float(slip[l5_s1]) + 1.5 if isthmic else 0.0


def _fractures(person: Person, lots: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Loss of anterior height, depth of depressed endplates, and which are fresh; typical rates."""
    old = np.clip((person.age_years - 50) / 30, 0, 1)
    fractured = FRACTURED & (lots < 0.003 + (0.03 if person.female else 0.014) * old)
    biconcave = fractured & (sizes[0] < 0.4)
    loss = np.where(fractured & ~biconcave, 0.22 + 0.28 * sizes[1], 0.0)
    sunken = np.where(biconcave, HEIGHT_MM * (0.1 + 0.1 * sizes[1]), 0.0)
    return loss, sunken, fractured & (np.modf(sizes[0] * 10)[0] < 0.3)


def _modic(worn: np.ndarray, lots: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Type of the change beside each disc, 0 for none: a third of worn discs at L4-S1 have one (typical)."""
    rate = np.zeros(COUNT)
    rate[GRADED] = np.clip(0.85 * (worn[GRADED] - 0.3), 0, 0.6) * (0.4, 0.4, 0.5, 1, 1)
    return np.where(lots < rate, 1 + np.digitize(kinds, MODIC_SHARES), 0)


def _modic_band(kind: int, body: int, up: int, lots: np.ndarray) -> Change:
    """A band beside part of an endplate."""
    deep = 4 + 7 * lots[0] * (1 if up > 0 else 0.8)
    half_v = DEPTH_MM[body] * (0.3 + 0.35 * lots[1])
    centre_v = (2 * lots[2] - 1) * max(0.0, 0.55 * DEPTH_MM[body] - half_v)
    half = (0.48 * WIDTH_MM[body], float(half_v), float(deep))
    return Change(f"modic {kind}", MODIC_TISSUE[kind], up, (0.0, float(centre_v), 0.0), half)


def _haemangioma(lots: np.ndarray) -> Change:
    """A round island of fat and vessels."""
    radius = float(3.5 + 3 * lots[0])
    centre = (float(16 * lots[1] - 8), float(12 * lots[2] - 6), radius + 1.5)
    return Change("haemangioma", Tissue.FATTY_MARROW, 1 if lots[3] < 0.5 else -1, centre, (radius,) * 3)


def _schmorl_nodes(lot: float, lots: np.ndarray) -> list[tuple[int, Change]]:
    """Draw one to three places where a disc has broken into a body; in most people there are none."""
    nodes: list[tuple[int, Change]] = []
    if lot >= SCHMORL_RATE:
        return nodes
    for share, side, u, v, radius, sole in lots[:18].reshape(3, 6):
        if nodes and sole < 0.5:
            break
        disc = SCHMORL_DISCS[0] + int(share * (SCHMORL_DISCS[1] - SCHMORL_DISCS[0]))
        body, up = (disc, 1) if side < 0.5 else (disc + 1, -1)
        centre, half = (12 * u - 6, 8 * v - 2, -1.0), (3.5 + 3 * radius, 3.5 + 4 * radius, 4.0 + 3 * radius)
        nodes.append((body, Change("schmorl", Tissue.NUCLEUS + disc, up, centre, half)))
    return nodes
