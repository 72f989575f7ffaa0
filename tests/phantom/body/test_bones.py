from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from kitlib.phantom.body import arches, bones
from kitlib.phantom.body.grid import Canvas
from kitlib.phantom.body.openings import Openings
from kitlib.phantom.body.pathology import Change
from kitlib.phantom.body.person import draw_person
from kitlib.phantom.body.spine import Spine, draw_spine
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import LUMBOSACRAL, SIDES, VERTEBRAE, disc_of
from kitlib.terms import CELLS

L4_L5 = disc_of("l4_l5")
L4 = VERTEBRAE.index("L4")


def plain_spine(grade: float = 0.4) -> Spine:
    """The first spine without any finding."""
    grades = np.full(len(CELLS), grade)
    for seed in range(50):
        rng = np.random.default_rng(seed)
        spine = draw_spine(draw_person(grades, rng), grades, rng)
        found = spine.pathology
        if not (spine.transitional or found.metal or found.slip_mm.any() or any(found.changes)):
            return spine
    raise AssertionError("no plain spine in fifty")


def openings(lost: float = 0.0) -> Openings:
    sides = np.full((5, 2), lost)
    return cast(Openings, SimpleNamespace(lost_foramen=sides, lost_recess=sides, from_front=np.full(5, 0.5)))


def canvas_around(centre: np.ndarray, half_mm: float = 45.0, step_mm: float = 0.75) -> Canvas:
    """Axial planes through a cube; the tissue array's axes are up, back and left."""
    count = round(2 * half_mm / step_mm) + 1
    heights = np.arange(-half_mm, half_mm + 1, 3.0)
    origins = centre - [half_mm, half_mm, 0] + heights[:, None] * [0, 0, 1]
    return Canvas.over(origins, np.array([0, step_mm, 0]), np.array([step_mm, 0, 0]), (count, count), 3.0, 1)


def share(canvas: Canvas, tissue: int) -> int:
    return int(canvas.tissue.eq(tissue).sum())


def painted(paint: Callable[[Canvas], None], centre: np.ndarray, half_mm: float = 45.0) -> Canvas:
    canvas = canvas_around(centre, half_mm)
    paint(canvas)
    return canvas


def test_a_body_is_marrow_in_cortex_with_a_vein_and_a_disc_a_nucleus_in_dark_rings() -> None:
    spine = plain_spine()
    body = painted(lambda c: bones.paint_body(c, spine.vertebrae[L4]), spine.vertebrae[L4].frame.origin_mm)
    assert share(body, Tissue.MARROW) > 3 * share(body, Tissue.CORTEX) > 0
    assert share(body, Tissue.VEIN) > 0
    disc = painted(lambda c: bones.paint_disc(c, spine, L4_L5), spine.discs[L4_L5].frame.origin_mm)
    assert share(disc, Tissue.NUCLEUS + L4_L5) > 0
    assert share(disc, Tissue.ANNULUS) > 0
    assert share(disc, Tissue.LIGAMENT) > 0


def test_facet_joints_show_two_bones_with_fluid_between_them_on_both_sides() -> None:
    spine = plain_spine()
    frame, half_mm = spine.discs[L4_L5].frame, 45.0
    canvas = painted(lambda c: arches.paint_posterior(c, spine, openings()), frame.origin_mm, half_mm)
    fluid = canvas.tissue.eq(Tissue.FLUID)
    middle = fluid.shape[2] // 2
    assert fluid[..., :middle].any()
    assert fluid[..., middle:].any()
    u, v, w = canvas.local(frame, canvas.everything)
    near = w.abs() < 2
    for side in SIDES:
        joint = fluid & near & (side * u > 0)
        back = v[joint].mean()
        marrow = canvas.tissue.eq(Tissue.MARROW) & near & (side * u > 0) & (side * u < 30)
        assert (marrow & (v < back)).any()
        assert (marrow & (v > back)).any()


def test_narrowing_swells_the_joints() -> None:
    spine = plain_spine()
    centre = spine.discs[L4_L5].frame.origin_mm
    bone = [
        share(painted(lambda c, lost=lost: arches.paint_posterior(c, spine, openings(lost)), centre), tissue)
        for lost in (0.0, 1.0)
        for tissue in (Tissue.MARROW,)
    ]
    assert bone[1] > 1.03 * bone[0]


@pytest.mark.parametrize(
    ("kind", "tissue"),
    [
        ("modic 1", Tissue.OEDEMA),
        ("modic 2", Tissue.FATTY_MARROW),
        ("modic 3", Tissue.SCLEROSIS),
        ("haemangioma", Tissue.FATTY_MARROW),
        ("fracture", Tissue.OEDEMA),
        ("schmorl", Tissue.NUCLEUS + L4_L5),
    ],
)
@pytest.mark.parametrize("up", [1, -1])
def test_changes_of_the_marrow_stay_in_their_place(kind: str, tissue: int, up: int) -> None:
    body = plain_spine().vertebrae[L4]
    centre = (0.0, -2.0, 6.5 if kind == "haemangioma" else 0.0)
    changed = replace(body, changes=(Change(kind, tissue, up, centre, (6.0, 6.0, 5.0)),))
    before, after = (
        painted(lambda c, one=one: bones.paint_body(c, one), body.frame.origin_mm, 35)
        for one in (body, changed)
    )
    differs = before.tissue != after.tissue
    assert (after.tissue[differs] == tissue).any()
    u, v, w = (part[differs] for part in after.local(body.frame, after.everything))
    assert (u.abs() < 10).all()
    assert ((v + 2).abs() < 10).all()
    assert (w * up > 0).all()


def test_fractures_lower_the_front_or_the_middle() -> None:
    body = plain_spine().vertebrae[L4]

    def tall(vertebra: object, dorsal_mm: float) -> float:
        canvas = painted(lambda c: bones.paint_body(c, vertebra), body.frame.origin_mm, 35)  # type: ignore[arg-type]
        u, v, w = canvas.local(body.frame, canvas.everything)
        bone = canvas.tissue.ne(Tissue.AIR) & (u.abs() < 2) & ((v - dorsal_mm).abs() < 2)
        return float(w[bone].max() - w[bone].min())

    wedged = replace(body, wedge=body.wedge - 0.25, height_mm=body.height_mm - 4)
    assert tall(wedged, -12) < tall(body, -12) - 5
    hollow = replace(body, sunken_mm=6.0)
    assert tall(hollow, 0) < tall(body, 0) - 4
    assert abs(tall(hollow, -12) - tall(body, -12)) < 3.1


def test_screws_lie_in_their_pedicles_and_nowhere_without_them() -> None:
    spine = plain_spine()
    held = replace(spine, pathology=replace(spine.pathology, metal=(LUMBOSACRAL + 1, L4)))
    centre = spine.vertebrae[L4].frame.origin_mm
    assert share(painted(lambda c: bones.paint_metal(c, spine), centre), Tissue.METAL) == 0
    canvas = painted(lambda c: bones.paint_metal(c, held), centre)
    u, _, w = canvas.local(spine.vertebrae[L4].frame, canvas.everything)
    metal = canvas.tissue.eq(Tissue.METAL)
    assert metal.any()
    assert (u[metal].abs() > 3).all()
    assert (w[metal] < 0.5 * spine.vertebrae[L4].height_mm).all()


def test_gas_and_tears_show_where_the_disc_has_them() -> None:
    spine = plain_spine()
    centre = spine.discs[L4_L5].frame.origin_mm
    for name, tissue in (("vacuum", Tissue.GAS), ("fissured", Tissue.FLUID)):
        for present in (False, True):
            disc = replace(spine.discs[L4_L5], **({"vacuum": False, "fissured": False} | {name: present}))
            discs = (*spine.discs[:L4_L5], disc, *spine.discs[L4_L5 + 1 :])
            changed = replace(spine, discs=discs)
            canvas = canvas_around(centre, 20.0)
            bones.paint_disc(canvas, changed, L4_L5)
            assert (share(canvas, tissue) > 0) is present


def test_wings_and_transitional_spines_differ_only_about_the_sacrum() -> None:
    spine = plain_spine()
    centre = spine.vertebrae[LUMBOSACRAL].frame.origin_mm
    bone = {}
    for kind in ("", "lumbarised S1", "sacralised L5"):
        changed = replace(spine, pathology=replace(spine.pathology, transitional=kind))
        canvas = canvas_around(centre, 60.0)
        bones.paint_sacral_wings(canvas, changed)
        arches.paint_posterior(canvas, changed, openings())
        bone[kind] = canvas.tissue.eq(Tissue.MARROW)
        height = canvas.local(spine.vertebrae[LUMBOSACRAL].frame, canvas.everything)[2]
    assert bone["lumbarised S1"].sum() < bone[""].sum() < bone["sacralised L5"].sum()
    above = height > 60
    assert all(torch.equal(bone[""][above], other[above]) for other in bone.values())
