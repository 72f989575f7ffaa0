from functools import cache

import numpy as np
import pytest

from kitlib.phantom.body.anatomy import Anatomy, draw_anatomy
from kitlib.phantom.body.grid import Canvas
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import LUMBOSACRAL
from kitlib.terms import CELLS, LEVELS

NORMAL = np.full(len(CELLS), 0.4)


@cache
def anatomy_with(cell: int | None = None, grade: float = 0.4, seed: int = 0) -> Anatomy:
    grades = NORMAL.copy()
    if cell is not None:
        grades[cell] = grade
    return draw_anatomy(grades, np.random.default_rng(seed))


def patch(anatomy: Anatomy, cell: int, half_mm: float = 9.0, step_mm: float = 0.5) -> np.ndarray:
    """Tissue (H, W) around a graded place: sagittal for canal and foramen, axial for the recess."""
    across = np.array([0.0, 1, 0])
    down = np.array([0.0, 0, -1])
    if CELLS[cell].group == "subarticular":
        across, down = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
    corner = anatomy.place_mm(CELLS[cell]) - anatomy.at_mm - half_mm * (across + down)
    points = round(2 * half_mm / step_mm) + 1
    canvas = Canvas.over(corner[None], step_mm * down, step_mm * across, (points, points), 1.0, 1)
    anatomy.paint(canvas)
    return canvas.tissue[0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize("cell", range(len(CELLS)), ids=lambda index: CELLS[index].name)
def test_severity_narrows_its_own_cell_and_no_other(cell: int) -> None:
    openings = np.array(
        [[anatomy_with(cell, grade).opening_mm(one) for one in CELLS] for grade in (0.4, 1.5, 2.6)]
    )
    own, others = openings[:, cell], np.delete(openings, cell, axis=1)
    assert (np.diff(own) < -0.8).all()
    assert np.abs(others - others[0]).max() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("group", ["spinal", "foraminal", "subarticular"])
def test_severity_is_seen_where_it_is_labelled(group: str) -> None:
    """Less is bright on the graded sequence - CSF or fat - with each severity."""
    cell = next(i for i, one in enumerate(CELLS) if one.group == group and one.level == "l3_l4")
    half_mm = {"spinal": 9.0, "foraminal": 6.5, "subarticular": 4.5}[group]
    bright = [Tissue.FAT] if group == "foraminal" else [Tissue.CSF, Tissue.FAT]
    for seed in range(4):
        areas = [
            np.isin(patch(anatomy_with(cell, grade, seed), cell, half_mm), bright).sum()
            for grade in (0.4, 1.5, 2.6)
        ]
        assert areas[0] > 1.15 * areas[1] > 1.3 * areas[2]


@pytest.mark.slow
def test_canal_points_lie_in_the_sac_and_foramen_points_in_the_foramen() -> None:
    for seed in range(3):
        anatomy = anatomy_with(seed=seed)
        for index, cell in enumerate(CELLS):
            found = Tissue(int(patch(anatomy, index, half_mm=1.0, step_mm=1.0)[1, 1]))
            allowed = {
                "spinal": {Tissue.CSF, Tissue.ROOT, Tissue.CORD},
                "foraminal": {Tissue.FAT, Tissue.ROOT},
                "subarticular": {Tissue.FAT, Tissue.ROOT, Tissue.CSF, Tissue.FASCIA},
            }[cell.group]
            assert found in allowed, cell.name


def test_left_is_left_and_levels_descend() -> None:
    anatomy = anatomy_with(seed=5)
    places = {cell: anatomy.place_mm(cell) for cell in CELLS}
    for condition in ("neural_foraminal_narrowing", "subarticular_stenosis"):
        for level in LEVELS:
            left, right = (
                next(places[c] for c in CELLS if c.condition == f"{side}_{condition}" and c.level == level)
                for side in ("left", "right")
            )
            assert left[0] > right[0] + 8
    heights = [places[cell][2] for cell in CELLS[:5]]
    assert (np.diff(heights) < -15).all()


def test_every_tissue_of_a_healthy_spine_is_there() -> None:
    anatomy = anatomy_with()
    origins = np.stack([np.linspace(-24, 24, 13), np.full(13, -120.0), np.full(13, 150.0)], axis=1)
    canvas = Canvas.over(origins, np.array([0, 0, -1.5]), np.array([0, 1.5, 0]), (190, 150), 4.0, 1)
    anatomy.paint(canvas)
    healthy = {Tissue.AIR, Tissue.SKIN, Tissue.FAT, Tissue.MUSCLE, Tissue.FASCIA, Tissue.CORTEX}
    healthy |= {Tissue.MARROW, Tissue.LIGAMENT, Tissue.ANNULUS, Tissue.VEIN}
    healthy |= {Tissue.CSF, Tissue.CORD, Tissue.ROOT}
    nuclei = range(Tissue.NUCLEUS + LUMBOSACRAL, Tissue.NUCLEUS + len(anatomy.spine.discs))
    assert healthy | set(nuclei) <= set(canvas.tissue.unique().tolist())


def test_severity_is_what_the_thresholds_say_of_the_measured_anatomy() -> None:
    for seed in range(60):
        grades = np.random.default_rng(seed).uniform(0, 3, len(CELLS))
        anatomy = draw_anatomy(grades, np.random.default_rng(seed))
        assert [anatomy.severity(cell) for cell in CELLS] == np.floor(grades).astype(int).tolist()


def test_measures_name_their_units_and_agree_with_the_opening() -> None:
    anatomy = anatomy_with()
    for cell in CELLS:
        measures = anatomy.measures(cell)
        assert set(measures) <= {"depth_mm", "area_mm2", "width_mm", "root_mm"}
        assert anatomy.opening_mm(cell) in measures.values()


def test_one_grade_moves_nothing_but_its_surroundings() -> None:
    """Each part has its own random stream, so that a worse foramen does not draw another person."""
    healthy, worse = anatomy_with(), anatomy_with(8, 2.6)
    np.testing.assert_array_equal(healthy.at_mm, worse.at_mm)
    np.testing.assert_array_equal(healthy.canal.roots[:, :3], worse.canal.roots[:, :3])
    np.testing.assert_array_equal(healthy.openings.depth_mm, worse.openings.depth_mm)


def test_the_same_seed_draws_and_paints_the_same() -> None:
    grades = np.linspace(0, 2.9, len(CELLS))
    first, second = (patch(draw_anatomy(grades, np.random.default_rng(4)), 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_wrong_grades_are_refused() -> None:
    with pytest.raises(ValueError, match="grades have shape"):
        draw_anatomy(np.zeros(24), np.random.default_rng(0))
