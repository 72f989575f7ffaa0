import numpy as np
import pytest
import torch

from kitlib.phantom.body.anatomy import draw_anatomy
from kitlib.phantom.body.foramina import Foramen, foramen
from kitlib.phantom.body.grid import Canvas
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.vertebrae import disc_of
from kitlib.terms import CELLS, LEVELS


def holes(grade: float, seed: int = 0) -> list[Foramen]:
    anatomy = draw_anatomy(np.full(len(CELLS), grade), np.random.default_rng(seed))
    return [foramen(anatomy.spine, anatomy.openings, level, side) for level in range(5) for side in (0, 1)]


def width(hole: Foramen, up_mm: torch.Tensor) -> torch.Tensor:
    front, back = hole.edges(up_mm)
    return back - front


def test_a_normal_foramen_is_widest_about_its_root_and_tapers_without_steps() -> None:
    up = torch.arange(-24, 8, 0.1, dtype=torch.float64)
    for hole in holes(0.2):
        across = width(hole, up)
        assert -5 < up[across.argmax()] < 2
        below = across[(up < -5) & (across > 0)]
        assert (below.diff() > -1e-6).all()
        steps = across[(up > -12) & (up < 4)].diff().abs()
        assert steps.max() < 0.25


def test_each_foramen_has_a_shape_of_its_own_that_grades_do_not_redraw() -> None:
    normal, severe = holes(0.2), holes(2.6)
    assert [hole.lots for hole in normal] == [hole.lots for hole in severe]
    assert len({hole.lots for hole in normal}) == len(normal)


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_fat_leaves_the_foramen_as_it_narrows_and_the_root_stays(level: int) -> None:
    fat = []
    for grade in (0.4, 1.5, 2.6):
        anatomy = draw_anatomy(np.full(len(CELLS), grade), np.random.default_rng(1))
        hole = foramen(anatomy.spine, anatomy.openings, level, 0)
        _, back, up = hole.frame.axes
        corner = hole.frame.to_patient(hole.lateral_mm, hole.middle_mm, hole.root_up_mm) + 5 * (up - back)
        canvas = Canvas.over(corner[None], -0.25 * up, 0.25 * back, (41, 41), 1.0, 1)
        anatomy.paint(canvas)
        assert (canvas.tissue == Tissue.ROOT).sum() > 80
        fat.append(int((canvas.tissue == Tissue.FAT).sum()))
    assert fat[0] > 2 * fat[1] > 4 * fat[2]


def test_foramina_lie_further_before_the_canal_the_lower_they_are() -> None:
    """In the competition's tables foramina are 2 mm before the canal at L1/L2, 8 at L4/L5, 11 at L5/S1."""
    before = []
    for seed in range(20):
        anatomy = draw_anatomy(np.full(len(CELLS), 0.4), np.random.default_rng(seed))
        places = np.array([anatomy.place_mm(cell) for cell in CELLS]).reshape(5, len(LEVELS), 3)
        backs = np.array([anatomy.spine.discs[disc_of(level)].frame.axes[1] for level in LEVELS])
        before.append(((places[0] - places[1:3].mean(axis=0)) * backs).sum(axis=1))
    median = np.median(before, axis=0)
    assert (np.diff(median) > 0).all()
    assert median[0] < 5
    assert median[3:] == pytest.approx([8, 10.5], abs=1)


@pytest.mark.parametrize("level", range(3))
def test_behind_a_normal_foramen_of_l1_to_l4_stands_the_marrow_of_the_superior_facet(level: int) -> None:
    for seed in range(5):
        anatomy = draw_anatomy(np.full(len(CELLS), 0.4), np.random.default_rng(seed))
        hole = foramen(anatomy.spine, anatomy.openings, level, 0)
        _, back, up = hole.frame.axes
        corner = hole.frame.to_patient(
            hole.lateral_mm, anatomy.spine.discs[disc_of(LEVELS[level])].depth_mm / 2 + 8, 3
        )
        canvas = Canvas.over(corner[None], -0.5 * up, 0.5 * back, (13, 27), 1.0, 1)
        anatomy.paint(canvas)
        marrow, cleft = (int((canvas.tissue == tissue).sum()) for tissue in (Tissue.MARROW, Tissue.CARTILAGE))
        assert marrow > 4 * cleft
