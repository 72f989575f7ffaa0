import json

import numpy as np
import pytest

from kitlib.errors import DataError
from kitlib.mri.stack import Stack, normal_of, orthonormal, plane_of

SAGITTAL = ([0, 1, 0], [0, 0, -1])
AXIAL = ([1, 0, 0], [0, 1, 0])
CORONAL = ([1, 0, 0], [0, 0, -1])
TILTED = ([0.999441, -0.0293921, -0.015942], [0.0275571, 0.994075, -0.105147])
OBLIQUE = ([1, 1, 0], [-1, 1, 2])


def make_stack(orientation=AXIAL, positions=(0, 4, 8, 15), size=(12, 10), spacing=(0.5, 0.75), shear=0.0):
    row, column = orthonormal(np.asarray(orientation, dtype=float))
    normal = np.cross(row, column)
    normal *= np.sign(normal[np.abs(normal).argmax()])
    positions = np.asarray(positions, dtype=float)
    origins = np.array([-50.0, 20.0, 7.0]) + positions[:, None] * (normal + shear * row)
    pixels = np.random.default_rng(1).random((len(positions), *size), dtype=np.float32)
    numbers = np.arange(len(positions))
    return Stack(pixels, origins, row, column, spacing, numbers, tuple(f"{n}.dcm" for n in numbers))


@pytest.mark.parametrize("orientation", [SAGITTAL, AXIAL, CORONAL, TILTED, OBLIQUE])
@pytest.mark.parametrize("positions", [(0, 4, 8, 15), (3,), (-1, 0.5)])
@pytest.mark.parametrize("shear", [0.0, 0.4])
def test_there_and_back_is_the_identity(orientation, positions, shear):
    stack = make_stack(orientation, positions, shear=shear)
    pixels = np.random.default_rng(0).uniform(-30, 30, (5, 40, 3))
    points = stack.to_patient(pixels[..., 0], pixels[..., 1], pixels[..., 2])
    assert points.shape == (5, 40, 3)
    np.testing.assert_allclose(stack.to_pixel(points), pixels, atol=1e-6)
    back = stack.to_pixel(points + 100)
    np.testing.assert_allclose(stack.to_patient(*np.moveaxis(back, -1, 0)), points + 100, atol=1e-6)


@pytest.mark.parametrize(
    ("orientation", "plane", "normal"),
    [
        (SAGITTAL, "sagittal", [1, 0, 0]),
        (([0, -1, 0], [0, 0, -1]), "sagittal", [1, 0, 0]),
        (AXIAL, "axial", [0, 0, 1]),
        (([1, 0, 0], [0, -1, 0]), "axial", [0, 0, 1]),
        (CORONAL, "coronal", [0, 1, 0]),
    ],
)
def test_the_normal_points_to_left_head_or_back(orientation, plane, normal):
    stack = make_stack(orientation)
    assert stack.plane == plane
    np.testing.assert_allclose(stack.normal, normal, atol=1e-12)


def test_planes_within_45_degrees_keep_their_name():
    assert make_stack(TILTED).plane == "axial"
    assert make_stack(([1, 0, 0], [0, np.cos(0.7), np.sin(0.7)])).plane == "axial"
    assert make_stack(OBLIQUE).plane == "oblique"


def test_the_first_pixel_of_a_slice_is_its_origin_and_columns_grow_along_the_row_direction():
    stack = make_stack(TILTED)
    np.testing.assert_allclose(stack.to_patient(0, 0, 2), stack.origins_mm[2])
    np.testing.assert_allclose(
        stack.to_patient(1, 0, 0) - stack.to_patient(0, 0, 0), 0.75 * stack.row_direction
    )
    np.testing.assert_allclose(
        stack.to_patient(0, 1, 0) - stack.to_patient(0, 0, 0), 0.5 * stack.column_direction
    )


def test_positions_step_and_centres():
    stack = make_stack(positions=(0, 4, 8, 15))
    np.testing.assert_allclose(np.diff(stack.positions_mm), [4, 4, 7])
    assert stack.step_mm == pytest.approx(4)
    assert np.isnan(make_stack(positions=(2,)).step_mm)
    np.testing.assert_allclose(stack.centres_mm, stack.to_patient(4.5, 5.5, np.arange(4)))


def test_outside_the_ends_slices_go_on_by_the_median_step():
    stack = make_stack(positions=(0, 4, 8, 15))
    point = stack.to_patient(0, 0, 4.5)
    np.testing.assert_allclose(point, stack.origins_mm[-1] + 6 * stack.normal)
    assert stack.to_pixel(point)[2] == pytest.approx(4.5)


def test_a_lone_slice_counts_millimetres():
    stack = make_stack(positions=(2,))
    assert stack.to_pixel(stack.origins_mm[0] + 3 * stack.normal)[2] == pytest.approx(3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_fitted_keeps_every_corner_of_the_field_in_place(dtype):
    stack = make_stack(TILTED, size=(48, 30))
    object.__setattr__(stack, "pixels", (stack.pixels * 255).astype(dtype))
    small = stack.fitted(16)
    assert small.pixels.shape == (4, 16, 10)
    assert small.pixels.dtype == dtype
    for col, row in [(0, 0), (1, 0), (0, 1), (1, 1)]:
        corner = stack.to_patient(col * 30 - 0.5, row * 48 - 0.5, 1)
        np.testing.assert_allclose(small.to_patient(col * 10 - 0.5, row * 16 - 0.5, 1), corner, atol=1e-9)
    assert small.pixels.mean() == pytest.approx(stack.pixels.mean(), rel=0.01)
    assert stack.fitted(48) is stack


def test_geometry_there_and_back_through_json():
    stack = make_stack(OBLIQUE)
    again = Stack.from_geometry(stack.pixels, json.loads(json.dumps(stack.geometry())))
    assert again.geometry() == stack.geometry()
    assert again.files == stack.files
    np.testing.assert_array_equal(again.positions_mm, stack.positions_mm)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("origins_mm", np.zeros((2, 3)), "origins_mm"),
        ("origins_mm", np.full((4, 3), np.nan), "finite"),
        ("origins_mm", np.zeros((4, 3)), "do not ascend"),
        ("pixels", np.zeros((4, 12)), "pixels"),
        ("row_direction", np.array([2.0, 0, 0]), "orthonormal"),
        ("spacing_mm", (0.0, 1.0), "positive"),
        ("files", ("1.dcm",), "N long"),
    ],
)
def test_what_is_no_stack_is_refused(field, value, message):
    parts = {**make_stack().__dict__, field: value}
    for cached in ("normal", "positions_mm"):
        parts.pop(cached, None)
    with pytest.raises(DataError, match=message):
        Stack(**parts)


@pytest.mark.parametrize("rounding", [2, 4, 6])
def test_rounded_directions_become_orthonormal_and_hardly_move(rounding):
    random = np.random.default_rng(0)
    for _ in range(20):
        exact = np.linalg.qr(random.normal(size=(3, 3)))[0][:2]
        mended = orthonormal(exact.round(rounding))
        np.testing.assert_allclose(mended @ mended.T, np.eye(2), atol=1e-14)
        np.testing.assert_allclose(mended, exact, atol=3 * 10.0**-rounding)


def test_the_normal_does_not_care_which_way_the_image_is_turned():
    row, column = np.array([0.0, 1.0, 0.0]), np.array([0.1, 0.0, -0.995])
    for pair in [(row, column), (column, row), (-row, column), (-row, -column)]:
        assert normal_of(*pair)[0] > 0
        assert plane_of(normal_of(*pair)) == "sagittal"


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("flip_rows", [False, True])
@pytest.mark.parametrize("flip_columns", [False, True])
def test_slices_stored_otherwise_show_the_same_at_every_place(swapped, flip_rows, flip_columns):
    stack = make_stack(TILTED, shear=0.2)
    found = stack.laid_out(swapped=swapped, flip_rows=flip_rows, flip_columns=flip_columns)
    assert found.pixels.shape[1:] == ((10, 12) if swapped else (12, 10))
    index, row, col = np.indices(stack.pixels.shape).reshape(3, -1)
    at = np.round(found.to_pixel(stack.to_patient(col, row, index))).astype(int)
    np.testing.assert_array_equal(found.pixels[at[:, 2], at[:, 1], at[:, 0]], stack.pixels.ravel())
    is_same = np.array_equal(found.pixels, stack.pixels)
    assert is_same == (not (swapped or flip_rows or flip_columns))
    np.testing.assert_allclose(found.normal, stack.normal)


ANY_LAYOUT = [
    {"swapped": swapped, "flip_rows": rows, "flip_columns": columns}
    for swapped in (False, True)
    for rows in (False, True)
    for columns in (False, True)
]
STEEP_AXIAL = ([1, 0, 0], [0, np.cos(0.9), np.sin(0.9)])  # 52 degrees: nearer to coronal, and yet axial


@pytest.mark.parametrize("orientation", [SAGITTAL, AXIAL, CORONAL, TILTED, STEEP_AXIAL])
@pytest.mark.parametrize("how", ANY_LAYOUT)
def test_upright_slices_are_the_same_however_they_were_stored(orientation, how):
    stack = make_stack(orientation, shear=0.2)
    assert stack.upright() is stack
    found = stack.laid_out(**how).upright()
    np.testing.assert_array_equal(found.pixels, stack.pixels)
    assert (found.spacing_mm, found.files) == (stack.spacing_mm, stack.files)
    for name in ("origins_mm", "row_direction", "column_direction", "instance_numbers"):
        np.testing.assert_allclose(getattr(found, name), getattr(stack, name), atol=1e-9)


def test_some_slices_keep_their_places_numbers_and_files():
    stack = make_stack()
    kept = stack.slices(np.array([False, True, False, True]))
    np.testing.assert_array_equal(kept.positions_mm, stack.positions_mm[[1, 3]])
    np.testing.assert_array_equal(kept.pixels, stack.pixels[[1, 3]])
    assert (kept.instance_numbers.tolist(), kept.files) == ([1, 3], ("1.dcm", "3.dcm"))
    with pytest.raises(DataError, match="empty"):
        stack.slices(np.zeros(4, bool))


@pytest.mark.parametrize(
    ("pixel", "nearest"),
    [((3.5, 7.25), (3.5, 7.25)), ((-5, 4), (0, 4)), ((4, -5), (4, 0)), ((30, 4), (9, 4)), ((4, 30), (4, 11))],
)
def test_the_nearest_position_on_a_slice_is_one_that_it_shows(pixel, nearest):
    stack = make_stack(TILTED)
    place_mm = stack.to_patient(*pixel, 1) + 3 * stack.normal
    np.testing.assert_allclose(stack.closest_mm(place_mm, 1), stack.to_patient(*nearest, 1), atol=1e-9)
