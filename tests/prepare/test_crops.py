"""Crops: any geometry gives the same picture of the same place."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kitlib.artefacts import Provenance
from kitlib.errors import ArtefactError, UsageError
from kitlib.mri.ledger import Ledger
from kitlib.mri.stack import Stack, normal_of
from kitlib.prepare.crops import SLICES, crop_around, crop_landmarks, load_crops, save_crops
from kitlib.terms import Landmark

DIRECTIONS = {
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "axial": ((1, 0, 0), (0, 1, 0)),
}
CANAL = Landmark("canal", "l4_l5", None)
RECESS = Landmark("recess", "l4_l5", "left")
PLACE = np.array([3.3, -12.7, 21.9])
Field = Callable[[np.ndarray], np.ndarray]


def dot_at(place: np.ndarray) -> Field:
    """A soft bright dot in the patient."""
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
    """A stack around PLACE and `shift` that shows a field of the patient."""
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
    dot = crop_around([make_stack(dot_at(PLACE), **GEOMETRIES[name])], CANAL, PLACE)
    assert dot is not None
    image = dot.pixels[len(dot.pixels) // 2]
    middle = (np.array(image.shape) - 1) / 2
    weights = image / image.sum()
    centroid = [float((weights * axis).sum()) for axis in np.indices(image.shape)]
    assert np.abs(centroid - middle).max() < 0.5
    even = crop_around([make_stack(ramp, **GEOMETRIES[name])], CANAL, PLACE, size_mm=(24, 30))
    assert even is not None
    assert even.padded_share == 0
    assert np.abs(even.pixels - ramp(places_of(even.stack))).max() < 0.6  # a fifth of a pixel at most


@pytest.mark.parametrize("name", GEOMETRIES)
def test_up_is_upright_and_right_is_the_readers(name: str) -> None:
    stack = make_stack(ramp, **GEOMETRIES[name])
    up = np.array([0.1, -0.3, 1.0]) if "plane" not in GEOMETRIES[name] else np.array([0.2, -1.0, 0.1])
    crop = crop_around([stack], CANAL, PLACE, up=up)
    assert crop is not None
    assert up @ crop.stack.row_direction == pytest.approx(0, abs=1e-9)
    assert up @ crop.stack.column_direction < 0
    right = [1, 0, 0] if "plane" in GEOMETRIES[name] else [0, 1, 0]
    assert crop.stack.row_direction @ right > 0.9
    unturned = crop_around([stack], CANAL, PLACE, up=stack.normal)  # stands on the slices: turns nothing
    assert unturned is not None
    axes = np.abs(np.stack([stack.row_direction, stack.column_direction]) @ unturned.stack.row_direction)
    assert np.sort(axes) == pytest.approx([0, 1], abs=1e-9)


def test_flipped_stacks_give_the_same_crop() -> None:
    crops = [
        crop_around([make_stack(ramp, flips=flips)], CANAL, PLACE) for flips in ((1, 1), (-1, 1), (-1, -1))
    ]
    for crop in crops[1:]:
        assert np.allclose(crop.pixels, crops[0].pixels, atol=0.5)
        assert np.allclose(crop.stack.origins_mm, crops[0].stack.origins_mm)


def test_sizes_are_those_of_the_plane_and_the_place() -> None:
    axial, sagittal = make_stack(ramp, "axial"), make_stack(ramp)
    shapes = {
        (plane, mark.place): crop_around([stack], mark, PLACE, px_mm=1.0).pixels.shape[1:]
        for plane, stack in (("axial", axial), ("sagittal", sagittal))
        for mark in (CANAL, RECESS)
    }
    assert shapes["axial", "canal"] == (45, 75)
    assert shapes["sagittal", "canal"] == (36, 45)
    assert shapes["axial", "recess"] == shapes["sagittal", "recess"] == (45, 45)


def test_slices_beyond_the_ends_and_edges_are_black_and_reported() -> None:
    stack = make_stack(lambda at: np.full(at.shape[:-1], 7.0), shape=(3, 120, 100))
    crop = crop_around([stack], CANAL, PLACE, slices=7)
    assert crop.stack.instance_numbers.tolist() == [-1, -1, 1, 2, 3, -1, -1]
    assert crop.padded_share == pytest.approx(4 / 7)
    assert (crop.pixels[[0, 1, 5, 6]] == 0).all()
    assert np.diff(crop.stack.positions_mm) == pytest.approx(4.0)
    corner = stack.to_patient(0, 0, 1)  # of the image: a quarter of the crop has pixels
    edge = crop_around([stack], CANAL, corner, slices=5)
    assert edge.padded_share == pytest.approx(1 - 3 / 5 / 4, abs=0.02)
    assert (edge.pixels == 0).mean() == pytest.approx(edge.padded_share)
    assert set(np.unique(edge.pixels)) == {0.0, 7.0}


def test_a_single_slice_is_enough() -> None:
    crop = crop_around([make_stack(ramp, shape=(1, 120, 100))], CANAL, PLACE)
    assert crop.padded_share == pytest.approx(4 / 5)
    assert (crop.stack.instance_numbers >= 0).sum() == 1


def test_the_order_of_stacks_changes_nothing() -> None:
    blocks = [
        make_stack(ramp, "axial", turn_deg=(angle, 0, 0), shift=(0, 0, up), shape=(count, 120, 100))
        for angle, up, count in ((0, 0, 5), (0, 0.3, 5), (20, 0.5, 3), (0, 30, 5), (0, 0, 5))
    ]
    first = crop_around(blocks, CANAL, PLACE)
    rng = np.random.default_rng(0)
    for _ in range(5):
        again = crop_around([blocks[index] for index in rng.permutation(5)], CANAL, PLACE)
        assert (again.pixels == first.pixels).all()
    assert first.padded_share == 0


def test_a_stack_with_more_slices_around_is_preferred_only_when_as_near() -> None:
    short = make_stack(ramp, "axial", shape=(1, 120, 100))
    long = make_stack(ramp, "axial", shift=(0, 0, 0.8))
    far = make_stack(ramp, "axial", shift=(0, 0, 2))
    assert crop_around([short, long], CANAL, PLACE).padded_share == 0
    assert crop_around([short, far], CANAL, PLACE).padded_share == pytest.approx(4 / 5)


def test_what_no_slice_shows_is_told_and_not_invented() -> None:
    stacks, ledger = [make_stack(ramp, shape=(5, 120, 100))], Ledger()
    lateral, above = np.array([(40.0, 0, 0), (0, 0, 90)])
    beside = {CANAL: PLACE, RECESS: PLACE + lateral, Landmark("canal", "l1_l2", None): PLACE + above}
    crops = crop_landmarks(beside, stacks, ledger)
    assert [crop.landmark for crop in crops] == [CANAL]
    assert [fault.code for fault in ledger] == ["crop.missing"]
    assert "recess-l4_l5-left" in next(iter(ledger)).detail
    assert crop_landmarks(beside, [], Ledger()) == []
    assert crop_around([], CANAL, PLACE) is None


def test_crops_are_turned_by_the_axes_of_their_level() -> None:
    axes = Rotation.from_euler("x", 25, degrees=True).as_matrix().T  # rows left, back, up
    for plane, upright in (("sagittal", axes[2]), ("axial", -axes[1])):
        stack = make_stack(ramp, plane)
        (crop,) = crop_landmarks({CANAL: PLACE}, [stack], Ledger(), axes={"l4_l5": axes})
        assert crop.stack.row_direction @ upright == pytest.approx(0, abs=1e-9)
        assert crop.stack.column_direction @ upright < -0.9


@pytest.mark.parametrize("slices", [0, SLICES[1] + 1])
def test_one_to_fifteen_slices(slices: int) -> None:
    with pytest.raises(UsageError, match="1 to 15"):
        crop_around([make_stack(ramp)], CANAL, PLACE, slices=slices)


def test_prepared_stacks_stay_small_and_inputs_unchanged() -> None:
    stack = make_stack(dot_at(PLACE))
    prepared = dataclasses.replace(stack, pixels=stack.pixels.astype(np.uint8))
    before = prepared.pixels.copy()
    crop = crop_around([prepared], CANAL, PLACE)
    assert crop.stack.pixels.dtype == np.uint8
    assert crop.pixels.dtype == np.float32
    assert (prepared.pixels == before).all()
    holes = dataclasses.replace(stack, pixels=np.where(stack.pixels > 50, np.nan, stack.pixels))
    assert np.isfinite(crop_around([holes], CANAL, PLACE).pixels).all()


def test_crops_come_back_from_disk_with_their_geometry(tmp_path: Path) -> None:
    stacks = [make_stack(dot_at(PLACE))]
    for kind in (np.uint8, np.float32):
        typed = [dataclasses.replace(stack, pixels=stack.pixels.astype(kind)) for stack in stacks]
        crops = [crop_around(typed, CANAL, PLACE), crop_around(typed, RECESS, PLACE, slices=7)]
        save_crops(tmp_path / "1.npy", crops, Provenance())
        for saved, crop in zip(load_crops(tmp_path / "1.npy"), crops, strict=True):
            assert saved.landmark == crop.landmark
            assert saved.padded_share == crop.padded_share
            assert saved.stack.pixels.dtype == kind
            assert (saved.stack.pixels == crop.stack.pixels).all()
            assert saved.stack.geometry() == crop.stack.geometry()
    save_crops(tmp_path / "none.npy", [], Provenance())
    assert load_crops(tmp_path / "none.npy") == []
    with pytest.raises(ArtefactError):
        load_crops(tmp_path / "absent.npy")
