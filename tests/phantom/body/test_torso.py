import numpy as np
import pytest

from kitlib.phantom.body.abdomen import paint_vessels
from kitlib.phantom.body.anatomy import draw_anatomy
from kitlib.phantom.body.canal import Canal
from kitlib.phantom.body.grid import Canvas
from kitlib.phantom.body.person import Person
from kitlib.phantom.body.spine import Spine
from kitlib.phantom.body.tissues import Tissue
from kitlib.phantom.body.torso import Torso, draw_torso, paint_torso
from kitlib.terms import CELLS

STAND_IN = {"age_years": 50.0, "female": True, "size": 1.0, "fat_mm": 12.0, "muscle": 1.0, "fatty": 0.2}


def draw_body(seed: int, **changes: object) -> tuple[Person, Spine, Canal, Torso]:
    """A person with an ordinary spine and a torso around it."""
    anatomy = draw_anatomy(np.full(len(CELLS), 0.4), np.random.default_rng(seed))
    person = Person(**{**STAND_IN, "marrow_fat": 0.4, **changes})
    torso = draw_torso(person, anatomy.spine, anatomy.canal, np.random.default_rng(seed))
    return person, anatomy.spine, anatomy.canal, torso


def axial(torso: Torso, height_mm: float = 0.0, half_mm: float = 230.0) -> np.ndarray:
    """Tissue (H, W) at a height, with 2 mm pixels and air on all sides."""
    points = round(half_mm) + 1
    corner = np.array([[-half_mm, -half_mm - 40, height_mm]])
    canvas = Canvas.over(corner, np.array([0, 2.0, 0]), np.array([2.0, 0, 0]), (points, points), 1.0, 1)
    paint_torso(canvas, torso)
    paint_vessels(canvas, torso.abdomen)
    return canvas.tissue[0].numpy()


def test_the_same_lots_give_the_same_torso() -> None:
    first, again, other = (draw_body(3)[3], draw_body(3)[3], draw_body(4)[3])
    assert (axial(first) == axial(again)).all()
    assert (axial(first) != axial(other)).any()


@pytest.mark.parametrize("height_mm", [100.0, 0.0, -90.0])
def test_skin_is_outermost_with_air_around_and_fat_under_it(height_mm: float) -> None:
    tissue = axial(draw_body(0)[3], height_mm)
    body = tissue != Tissue.AIR
    assert not np.concatenate([body[0], body[-1], body[:, 0], body[:, -1]]).any()
    middle = tissue[:, tissue.shape[1] // 2]
    inside = middle[middle != Tissue.AIR]
    assert inside[0] == inside[-1] == Tissue.SKIN
    assert inside[-4] in (Tissue.FAT, Tissue.MESENTERY)
    outline = body & ~(body & np.roll(body, 1, 0) & np.roll(body, -1, 0))
    assert (tissue[outline] == Tissue.SKIN).all()


def test_a_fatter_person_has_more_fat_behind_the_muscles() -> None:
    def fat_behind(fat_mm: float) -> int:
        column = axial(draw_body(0, fat_mm=fat_mm)[3])[:, 125]
        skin = np.nonzero(column == Tissue.SKIN)[0].max()
        return int(skin - np.nonzero(np.isin(column, [Tissue.MUSCLE, Tissue.FASCIA]))[0].max())

    assert fat_behind(30.0) > fat_behind(6.0) + 8


def test_nothing_of_the_torso_lies_in_the_canal_once_it_is_painted() -> None:
    anatomy = draw_anatomy(np.full(len(CELLS), 0.4), np.random.default_rng(0))
    for level in range(5):
        middle = anatomy.canal.middle(level)[None]
        canvas = Canvas.over(middle, np.array([0, 1.0, 0]), np.array([1.0, 0, 0]), (2, 2), 1.0, 1)
        anatomy.paint(canvas)
        assert np.isin(canvas.tissue[0], [Tissue.CSF, Tissue.CORD, Tissue.ROOT]).all()


def test_sagittal_and_axial_slices_see_the_same_tissue() -> None:
    torso = draw_body(1, fatty=0.5)[3]
    place = np.array([[25.0, 0.0, -30.0]])
    across, down = np.array([0, 0.7, 0]), np.array([0, 0, -1.0])
    sagittal = Canvas.over(place, down, across, (2, 80), 4.0, 1)
    axial = Canvas.over(place, across, np.array([1.0, 0, 0]), (80, 2), 4.0, 1)
    for canvas in (sagittal, axial):
        paint_torso(canvas, torso)
    shared = sagittal.tissue[0, 0].numpy()
    assert (shared == axial.tissue[0, :, 0].numpy()).all()
    assert {Tissue.MUSCLE, Tissue.FAT} <= set(shared.tolist())


def test_edges_have_partial_volume_and_most_points_have_none() -> None:
    torso = draw_body(0)[3]
    corner = np.array([[-60.0, -40.0, -60.0]])
    canvas = Canvas.over(corner, np.array([0, 1.0, 0]), np.array([1.0, 0, 0]), (150, 120), 4.0, 4)
    paint_torso(canvas, torso)
    first, second = (tissue[:, 1:-1] for tissue in canvas.by_slice()[0, :2].numpy())
    mixed = first != second
    assert 0.02 < mixed.mean() < 0.3
    skin = np.isin(first, [Tissue.SKIN]) | np.isin(second, [Tissue.SKIN])
    assert (mixed & skin).any(axis=0).mean() > 0.2
