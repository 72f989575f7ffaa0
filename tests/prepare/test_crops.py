"""Crops: any geometry gives the same image of the same place."""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from kitlib.errors import UsageError
from kitlib.mri.stack import Stack, normal_of
from kitlib.prepare.crops import MOST_SLICES, NO_SLICE, crop_around
from tests.properties import derandomised

DIRECTIONS = {
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "axial": ((1, 0, 0), (0, 1, 0)),
}
PLACE = np.array([3.3, -12.7, 21.9])
Field = Callable[[np.ndarray], np.ndarray]
cut = partial(crop_around, size_mm=(36, 45), px_mm=0.5, slices=5)


def dot_at(place: np.ndarray) -> Field:
    """A soft bright dot, in patient coordinates."""
    return lambda at: 100 * np.exp(-((at - place) ** 2).sum(axis=-1) / (2 * 3.0**2))


def ramp(at: np.ndarray) -> np.ndarray:
    """Brightness that grows evenly: linear interpolation must keep it."""
    return 500 + at @ np.array([1.0, 2.0, -3.0])


def make_stack(
    field: Field,
    plane: str = "sagittal",
    *,
    turn_deg: tuple[float, float, float] = (0, 0, 0),
    flips: tuple[int, int] = (1, 1),
    spacing_mm: tuple[float, float] = (0.8, 1.1),
    shape: tuple[int, int, int] = (7, 120, 100),
    step_mm: float = 4.0,
    shear_mm: float = 0.0,
    shift: tuple[float, float, float] = (0, 0, 0),
) -> Stack:
    """A stack around PLACE, displaced by `shift`, that samples a field in patient coordinates."""
    turn = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    row, column = (turn @ np.asarray(way, float) for way in DIRECTIONS[plane])
    row, column = flips[0] * row, flips[1] * column
    normal = normal_of(row, column)
    steps = (np.arange(shape[0]) - shape[0] // 2)[:, None] * (step_mm * normal + shear_mm * row)
    corner = (shape[2] - 1) / 2 * spacing_mm[1] * row + (shape[1] - 1) / 2 * spacing_mm[0] * column
    stack = Stack(
        pixels=np.zeros(shape, np.float32),
        origins_mm=PLACE + shift + steps - corner,
        row_direction=row,
        column_direction=column,
        spacing_mm=spacing_mm,
        instance_numbers=np.arange(shape[0])[:: flips[0]] + 1,
        files=tuple(f"{number}.dcm" for number in range(shape[0])),
    )
    return dataclasses.replace(stack, pixels=field(places_of(stack)).astype(np.float32))


def places_of(stack: Stack) -> np.ndarray:
    """Patient positions (N, H, W, 3) of all pixels."""
    index, row, col = np.indices(stack.pixels.shape)
    return stack.to_patient(col, row, index)


GEOMETRIES = {
    "sagittal": {},
    "axial": {"plane": "axial"},
    "oblique block": {"plane": "axial", "turn_deg": (35, 4, -8)},
    "steep block": {"plane": "axial", "turn_deg": (52, 0, 3)},
    "scoliotic": {"turn_deg": (10, -7, 12)},
    "seen from the other side": {"flips": (-1, 1)},
    "upside down": {"flips": (1, -1), "plane": "axial"},
    "sheared": {"shear_mm": 0.7},
    "coarse": {"spacing_mm": (2.5, 1.7), "shape": (9, 50, 60)},
    "fine": {"spacing_mm": (0.25, 0.2), "shape": (5, 160, 180), "step_mm": 3.0},
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_dot_lands_on_the_middle_and_pixels_keep_their_places(name: str) -> None:
    dot = cut([make_stack(dot_at(PLACE), **GEOMETRIES[name])], PLACE)
    assert dot is not None
    image = dot.pixels[len(dot.pixels) // 2]
    middle = (np.array(image.shape) - 1) / 2
    weights = image / image.sum()
    centroid = [float((weights * axis).sum()) for axis in np.indices(image.shape)]
    assert np.abs(centroid - middle).max() < 0.5
    even = cut([make_stack(ramp, **GEOMETRIES[name])], PLACE, size_mm=(24, 30))
    assert even is not None
    assert (even.pixels > 0).all()
    assert np.abs(even.pixels - ramp(places_of(even))).max() < 0.6  # a fifth of a pixel at most


@pytest.mark.parametrize("name", GEOMETRIES)
def test_up_is_upright_and_right_is_the_readers(name: str) -> None:
    stack = make_stack(ramp, **GEOMETRIES[name])
    up = np.array([0.1, -0.3, 1.0]) if "plane" not in GEOMETRIES[name] else np.array([0.2, -1.0, 0.1])
    crop = cut([stack], PLACE, up=up)
    assert crop is not None
    assert up @ crop.row_direction == pytest.approx(0, abs=1e-9)
    assert up @ crop.column_direction < 0
    right = [1, 0, 0] if "plane" in GEOMETRIES[name] else [0, 1, 0]
    assert crop.row_direction @ right > 0.9
    unturned = cut([stack], PLACE, up=stack.normal)  # perpendicular to the slices: no rotation
    assert unturned is not None
    axes = np.abs(np.stack([stack.row_direction, stack.column_direction]) @ unturned.row_direction)
    assert np.sort(axes) == pytest.approx([0, 1], abs=1e-9)


@derandomised
@given(
    plane=st.sampled_from(sorted(DIRECTIONS)),
    turn_deg=st.tuples(*[st.floats(-25, 25)] * 3),
    away_mm=st.tuples(*[st.floats(-8, 8)] * 3),
    swapped=st.booleans(),
    flip_rows=st.booleans(),
    flip_columns=st.booleans(),
)
def test_a_crop_is_the_same_however_its_images_are_stored(plane, turn_deg, away_mm, **stored):
    place = PLACE + away_mm
    stack = make_stack(dot_at(place), plane, turn_deg=turn_deg)
    one, other = (cut([each.upright()], place) for each in (stack, stack.laid_out(**stored)))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.pixels, one.pixels, atol=1e-2)
    np.testing.assert_allclose(other.centres_mm, one.centres_mm, atol=1e-6)


def test_flipped_stacks_give_the_same_crop() -> None:
    crops = [cut([make_stack(ramp, flips=flips)], PLACE) for flips in ((1, 1), (-1, 1), (-1, -1))]
    for crop in crops[1:]:
        assert np.allclose(crop.pixels, crops[0].pixels, atol=0.5)
        assert np.allclose(crop.origins_mm, crops[0].origins_mm)


def test_sizes_are_height_and_width_in_millimetres() -> None:
    crop = cut([make_stack(ramp, spacing_mm=(1.7, 0.6))], PLACE, size_mm=(20, 31), px_mm=0.5)
    assert crop.pixels.shape == (5, 40, 62)
    assert crop.spacing_mm == (0.5, 0.5)


def test_slices_beyond_the_ends_and_edges_are_black() -> None:
    stack = make_stack(lambda at: np.full(at.shape[:-1], 7.0), shape=(3, 120, 100))
    crop = cut([stack], PLACE, slices=7)
    assert crop.instance_numbers.tolist() == [NO_SLICE, NO_SLICE, 1, 2, 3, NO_SLICE, NO_SLICE]
    assert (crop.pixels[[0, 1, 5, 6]] == 0).all()
    assert np.diff(crop.positions_mm) == pytest.approx(4.0)
    corner = stack.to_patient(0, 0, 1)  # corner of the image: a quarter of the crop has pixels
    edge = cut([stack], corner, slices=5)
    assert (edge.pixels == 0).mean() == pytest.approx(1 - 3 / 5 / 4, abs=0.02)
    assert set(np.unique(edge.pixels)) == {0.0, 7.0}


def test_a_single_slice_is_enough() -> None:
    crop = cut([make_stack(ramp, shape=(1, 120, 100))], PLACE)
    assert (crop.pixels == 0).mean() == pytest.approx(4 / 5)
    assert (crop.instance_numbers >= 0).sum() == 1


def test_the_order_of_stacks_changes_nothing() -> None:
    blocks = [
        make_stack(ramp, "axial", turn_deg=(angle, 0, 0), shift=(0, 0, up), shape=(count, 120, 100))
        for angle, up, count in ((0, 0, 5), (0, 0.3, 5), (20, 0.5, 3), (0, 30, 5), (0, 0, 5))
    ]
    first = cut(blocks, PLACE)
    rng = np.random.default_rng(0)
    for _ in range(5):
        again = cut([blocks[index] for index in rng.permutation(5)], PLACE)
        assert (again.pixels == first.pixels).all()
    assert (first.instance_numbers >= 0).all()


def test_a_stack_with_more_slices_around_is_preferred_only_when_as_near() -> None:
    short = make_stack(ramp, "axial", shape=(1, 120, 100))
    long = make_stack(ramp, "axial", shift=(0, 0, 0.8))
    far = make_stack(ramp, "axial", shift=(0, 0, 2))
    assert (cut([short, long], PLACE).instance_numbers >= 0).all()
    assert (cut([short, far], PLACE).instance_numbers >= 0).sum() == 1


def test_what_no_slice_shows_is_not_invented() -> None:
    stacks = [make_stack(ramp, shape=(5, 120, 100))]
    for away in ((40.0, 0, 0), (0, 0, 90)):
        assert cut(stacks, PLACE + away) is None
    assert cut(stacks, PLACE) is not None
    assert cut([], PLACE) is None


@pytest.mark.parametrize("slices", [0, MOST_SLICES + 1])
def test_one_to_fifteen_slices(slices: int) -> None:
    with pytest.raises(UsageError, match="1 to 15"):
        cut([make_stack(ramp)], PLACE, slices=slices)


def test_prepared_stacks_stay_small_and_inputs_unchanged() -> None:
    stack = make_stack(dot_at(PLACE))
    prepared = dataclasses.replace(stack, pixels=stack.pixels.astype(np.uint8))
    before = prepared.pixels.copy()
    crop = cut([prepared], PLACE)
    assert crop.pixels.dtype == np.uint8
    assert (prepared.pixels == before).all()
    holes = dataclasses.replace(stack, pixels=np.where(stack.pixels > 50, np.nan, stack.pixels))
    assert np.isfinite(cut([holes], PLACE).pixels).all()
