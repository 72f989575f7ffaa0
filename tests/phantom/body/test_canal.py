import numpy as np
import pytest

from kitlib.phantom.body.anatomy import Anatomy, draw_anatomy
from kitlib.phantom.body.foramina import foramen
from kitlib.phantom.body.grid import Canvas
from kitlib.phantom.body.section import RECESS_MM
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import VERTEBRAE
from kitlib.terms import CELLS, LEVELS

SAC = [Tissue.CSF, Tissue.ROOT, Tissue.CORD]
PX_MM = 0.2


def anatomy_of(grade: float, seed: int = 0) -> Anatomy:
    return draw_anatomy(np.full(len(CELLS), grade), np.random.default_rng(seed))


def section(anatomy: Anatomy, level: int, half_mm: float = 13.0) -> np.ndarray:
    """Tissue (H, W) of the canal's own cross-section at a graded level; columns run to the left."""
    row = anatomy.canal.rows[level]
    left, back, _ = anatomy.canal.axes[row]
    corner = anatomy.canal.centres_mm[row] - half_mm * (left + back)
    points = round(2 * half_mm / PX_MM) + 1
    canvas = Canvas.over(corner[None], PX_MM * back, PX_MM * left, (points, points), 1.0, 1)
    anatomy.paint(canvas)
    return canvas.tissue[0].numpy()


def run_mm(mask: np.ndarray, at_mm: float) -> float:
    """Length in mm of the run that holds the point at_mm behind the canal's middle, within a column."""
    gaps = np.flatnonzero(~mask)
    at = len(mask) // 2 + round(at_mm / PX_MM)
    return float((gaps[gaps > at].min() - gaps[gaps < at].max() - 1) * PX_MM)


def middle_mm(anatomy: Anatomy, level: int, a_mm: float = 0.0) -> float:
    """Distance of a graded place behind the canal's middle."""
    row = anatomy.canal.rows[level]
    return float(
        (anatomy.canal.middle(level, a_mm) - anatomy.canal.centres_mm[row]) @ anatomy.canal.axes[row, 1]
    )


@pytest.mark.parametrize("grade", [0.3, 1.4, 2.5])
@pytest.mark.parametrize("level", [0, 3, 4])
def test_the_painted_sac_has_the_area_and_depth_that_are_measured(grade: float, level: int) -> None:
    anatomy = anatomy_of(grade)
    tissue = section(anatomy, level)
    half = tissue.shape[1] // 2
    inner = np.abs(np.arange(tissue.shape[1]) - half) * PX_MM < RECESS_MM - 1.8
    painted = np.isin(tissue, SAC)
    depth = run_mm(painted[:, half], middle_mm(anatomy, level))
    assert depth == pytest.approx(anatomy.canal.depth_mm(level), abs=2.5 * PX_MM)
    area = (painted & inner).sum() * PX_MM**2
    assert area == pytest.approx(anatomy.canal.area_mm2(level), rel=0.08, abs=3)


def test_the_recess_is_open_as_far_as_measured() -> None:
    for grade in (0.3, 1.4):
        anatomy = anatomy_of(grade)
        tissue = section(anatomy, 3)
        column = tissue[:, tissue.shape[1] // 2 + round(RECESS_MM / PX_MM)]
        depth = run_mm(np.isin(column, [Tissue.FAT, Tissue.ROOT]), middle_mm(anatomy, 3, RECESS_MM))
        assert depth == pytest.approx(anatomy.canal.depth_mm(3, RECESS_MM), abs=0.9)


@pytest.mark.parametrize("grade", [0.3, 1.4, 2.5])
@pytest.mark.parametrize("cell", [7, 13])
def test_the_foramen_is_open_at_its_root_as_far_as_measured(grade: float, cell: int) -> None:
    anatomy = anatomy_of(grade)
    side = 0 if CELLS[cell].side == "left" else 1
    hole = foramen(anatomy.spine, anatomy.openings, LEVELS.index(CELLS[cell].level), side)
    _, back, up = hole.frame.axes
    middle = hole.frame.to_patient(hole.side * hole.lateral_mm, hole.middle_mm, hole.root_up_mm)
    corner = middle - 12 * back + PX_MM * up
    canvas = Canvas.over(corner[None], -PX_MM * up, PX_MM * back, (3, round(24 / PX_MM) + 1), 1.0, 1)
    anatomy.paint(canvas)
    line = np.isin(canvas.tissue[0, 1].numpy(), [Tissue.FAT, Tissue.ROOT, Tissue.VEIN])
    assert run_mm(line, 0.0) == pytest.approx(anatomy.opening_mm(CELLS[cell]), abs=2.5 * PX_MM)


def test_a_severe_canal_has_next_to_no_csf_left_between_its_roots() -> None:
    for seed in range(3):
        tissue = section(anatomy_of(2.7, seed), LEVELS.index("l4_l5"))
        assert (tissue == Tissue.CSF).sum() < (tissue == Tissue.ROOT).sum()


def test_the_conus_ends_between_t12_and_l3_and_the_sac_about_s2() -> None:
    z_of = VERTEBRAE.index
    for seed in range(12):
        anatomy = anatomy_of(0.4, seed)
        canal, vertebrae = anatomy.canal, anatomy.spine.vertebrae
        tip = canal.centres_mm[np.argmax(canal.profile["cord"] > 0), 2]
        assert vertebrae[z_of("L3")].frame.origin_mm[2] < tip < vertebrae[z_of("T11")].frame.origin_mm[2]
        end = canal.centres_mm[np.argmax(canal.profile["sac_depth"] > 0.5)]
        away_mm = [np.linalg.norm(end - vertebra.frame.origin_mm) for vertebra in vertebrae]
        assert VERTEBRAE[int(np.argmin(away_mm))] in ("S1", "S2", "S3")


def test_the_sac_leaves_room_for_the_recess_and_stays_between_its_walls() -> None:
    for seed in range(30):
        grades = np.random.default_rng(seed).uniform(0, 3, len(CELLS))
        anatomy = draw_anatomy(grades, np.random.default_rng(seed))
        canal, opened = anatomy.canal, anatomy.openings
        assert (canal.profile["sac_half_width"][canal.rows] < RECESS_MM).all()
        areas = [canal.area_mm2(level) for level in range(len(LEVELS))]
        np.testing.assert_allclose(areas, opened.area_mm2, rtol=1e-6)
