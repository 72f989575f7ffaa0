from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from kitlib.localise.network import plane2landmarks
from kitlib.localise.train import samples
from kitlib.localise.train.samples import (
    POOL_PX,
    Pool,
    answers,
    channel_targets,
    draw_samples,
    make_pool,
    slice_points,
    visibility_at,
)
from kitlib.mri.stack import Plane, Stack
from kitlib.phantom.scan.domain_randomised import NEAR_MM
from kitlib.terms import LANDMARKS, Landmark

CANAL = Landmark("canal", "l4_l5", None)


def same(one: Pool, other: Pool) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Pool))


def points_off_plane(off_plane_mm: dict[Landmark, float]) -> np.ndarray:
    """Points (27, 3), each with its row as x and y, far off the plane unless told."""
    rows = [(row, row, off_plane_mm.get(one, 90.0)) for row, one in enumerate(LANDMARKS)]
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("plane", samples.PLANES)
@pytest.mark.parametrize("clinical", [0.0, 1.0])
def test_the_same_arguments_give_the_same_slices(plane: Plane, clinical: float) -> None:
    one, again = (draw_samples(plane, 5, each=1, clinical=clinical, seed=3) for _ in range(2))
    assert same(one, again)
    assert one.images.shape == (1, POOL_PX, POOL_PX)
    assert one.places.shape == (1, len(plane2landmarks[plane]), 2)
    assert one.images.std() > 5


def test_a_pool_goes_on_from_its_shards(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(samples, "SHARD", 1)
    drawn: list[int] = []
    draw = samples.draw_samples

    def counted(plane: Plane, number: int, **options) -> Pool:
        drawn.append(number)
        return draw(plane, number, **options)

    monkeypatch.setattr(samples, "draw_samples", counted)
    first = make_pool(tmp_path, "axial", anatomies=1, each=1, clinical=0, seed=1)
    both = make_pool(tmp_path, "axial", anatomies=2, each=1, clinical=0, seed=1)
    assert drawn == [0, 1]
    assert same(both.take(np.array([0])), first)
    make_pool(tmp_path, "axial", anatomies=1, each=1, clinical=0, seed=2)
    assert drawn == [0, 1, 0]


def test_every_channel_has_landmarks_that_it_is_about() -> None:
    counts = {
        plane: [sum(answers(c, one) for one in LANDMARKS) for c in plane2landmarks[plane]]
        for plane in samples.PLANES
    }
    assert counts == {"sagittal": [1] * 7 + [2] * 5, "axial": [5, 5]}


def test_a_landmark_fades_with_its_distance_from_the_plane() -> None:
    away = [visibility_at(mm, CANAL, 4.0) for mm in (0, 3, 9, 20)]
    assert away[0] == away[1] == 1
    assert away[2] == pytest.approx(0.5)
    assert away[3] == 0
    assert visibility_at(-9, CANAL, 4.0) == visibility_at(9, CANAL, 4.0)
    assert NEAR_MM["canal"] + 4.0 / 2 == 9


def test_a_channel_is_about_the_side_nearest_to_the_plane() -> None:
    left, right = (Landmark("foramen", "l3_l4", side) for side in ("left", "right"))
    points = points_off_plane({left: 12.0, right: -1.0})
    places, visibility = channel_targets("sagittal", points, np.ones(27, bool), 4.0)
    assert places[9].tolist() == [LANDMARKS.index(right)] * 2
    assert visibility.tolist() == [0] * 9 + [1] + [0] * 2
    beyond = np.ones(27, bool)
    beyond[LANDMARKS.index(right)] = False
    assert channel_targets("sagittal", points, beyond, 4.0)[1][9] == 0


def test_what_is_unknown_is_neither_visible_nor_absent() -> None:
    left, right = (Landmark("foramen", "l3_l4", side) for side in ("left", "right"))
    points = points_off_plane({left: 50.0})
    points[[LANDMARKS.index(right), LANDMARKS.index(CANAL)]] = np.nan
    places, visibility = channel_targets("sagittal", points, np.ones(27, bool), 4.0)
    assert np.isnan(visibility[[4, 9]]).all()
    assert np.isfinite(places).all()
    assert np.isfinite(np.delete(visibility, [4, 9])).all()


def test_points_on_a_slice_agree_with_the_stack() -> None:
    stack = Stack(
        pixels=np.zeros((3, 20, 30), np.uint8),
        origins_mm=np.array([[4.5 * n, -10.0, 30.0] for n in range(3)]),
        row_direction=np.array([0.0, 1, 0]),
        column_direction=np.array([0.0, 0, -1]),
        spacing_mm=(1.5, 0.8),
        instance_numbers=np.arange(3),
        files=("1.dcm", "2.dcm", "3.dcm"),
    )
    place = stack.to_patient(12.5, 7.25, 1.0)
    points, within = slice_points(stack, 1, place + np.array([[0, 0, 0], [4.5, 40, 0]]))
    np.testing.assert_allclose(points[0], [12.5, 7.25, 0], atol=1e-9)
    assert abs(points[1, 2]) == pytest.approx(4.5)
    assert within.tolist() == [True, False]
