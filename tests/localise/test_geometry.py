"""Levels, sides and points beside the canal follow from patient coordinates alone."""

import csv
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kitlib.localise.geometry import (
    SPINE,
    axial_levels,
    best_slices,
    disc_axes,
    of_plane,
    on_slice,
    predict_points,
    spread,
)
from kitlib.mri.stack import Stack, normal_of
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.terms import AXIAL_T2, EMPTY, LEVELS, Cell
from tests.localise.fakes import make_sagittal

# A lordotic spine, one point per level of SPINE from T12/L1 down.
BENDS_DEG = np.radians([-10, -7, -1, 9, 24, 25])
STEPS_MM = np.array([33.4, 33.0, 32.5, 31.0, 26.7, 29.3])
WAYS = np.stack([0 * BENDS_DEG, np.sin(BENDS_DEG), -np.cos(BENDS_DEG)], axis=1)
PLACES = np.array([4.0, -20.0, 80.0]) + np.vstack([np.zeros(3), np.cumsum(STEPS_MM[:, None] * WAYS, axis=0)])
CANAL = dict(zip(SPINE, PLACES))


def make_stack(
    middle: np.ndarray,
    directions: tuple[np.ndarray, np.ndarray] = (np.array([1.0, 0, 0]), np.array([0, 1.0, 0])),
    *,
    count: int = 5,
    step_mm: float = 4.0,
    size: int = 64,
    px_mm: float = 2.0,
) -> Stack:
    """Black slices centred at a point."""
    row, column = directions
    normal = normal_of(row, column)
    steps = (np.arange(count) - count // 2)[:, None] * step_mm * normal
    return Stack(
        pixels=np.zeros((count, size, size), np.uint8),
        origins_mm=middle + steps - (size - 1) / 2 * px_mm * (row + column),
        row_direction=row,
        column_direction=column,
        spacing_mm=(px_mm, px_mm),
        instance_numbers=np.arange(1, count + 1),
        files=("",) * count,
    )


def make_block(level: str, *, lift_mm: float = 0.0, count: int = 3) -> Stack:
    """Slices along a disc."""
    left, back, up = disc_axes(CANAL)[level]
    return make_stack(CANAL[level] + lift_mm * up, (left, back), count=count)


@cache
def phantom(study_id: int) -> PhantomStudy:
    return draw_study(study_id, seed=5, size="smoke", missing_rate=0.0)


def places_of(study: PhantomStudy, group: str) -> dict[Cell, np.ndarray]:
    rows = study.landmarks
    cells = [Cell(*names) for names in zip(rows.condition, rows.level)]
    places = rows[["x_mm", "y_mm", "z_mm"]].to_numpy()
    return {cell: place for cell, place in zip(cells, places) if cell.group == group}


def canal_of(study: PhantomStudy) -> dict[str, np.ndarray]:
    return {cell.level: place for cell, place in places_of(study, "spinal").items()}


def test_frames_stand_on_the_discs_and_know_left_back_and_up() -> None:
    discs = disc_axes(CANAL)
    assert list(discs) == list(LEVELS)
    for axes in discs.values():
        assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(axes) == pytest.approx(1)
        assert (np.diag(axes) > 0.7).all()
    assert discs["l5_s1"][2][1] < -0.4  # the lowest disc faces forwards
    turn = Rotation.from_euler("x", 12, degrees=True).as_matrix()
    turned = disc_axes({level: turn @ place for level, place in CANAL.items()})
    assert turned["l3_l4"] == pytest.approx(discs["l3_l4"] @ turn.T)


def test_few_points_still_give_axes() -> None:
    assert disc_axes({}) == {}
    assert disc_axes({"l4_l5": PLACES[4]})["l4_l5"] == pytest.approx(np.eye(3))
    assert disc_axes({"t12_l1": PLACES[0], "s1_s2": PLACES[6]}) == {}
    apart = disc_axes({"l1_l2": PLACES[1], "l5_s1": PLACES[5]})
    assert apart["l1_l2"][2] @ apart["l5_s1"][2] > 0.9


def test_slices_of_one_stack_go_to_the_nearest_level_or_to_none() -> None:
    stack = make_stack(PLACES[1:6].mean(axis=0), count=60, step_mm=3.0, size=96)
    levels = axial_levels([stack], CANAL)
    (found,) = levels
    for index, level in enumerate(LEVELS):
        away = stack.positions_mm - CANAL[level][2]
        assert np.flatnonzero(found.level == index).tolist() == np.flatnonzero(np.abs(away) <= 5).tolist()
        assert found.distance_mm[:, index] == pytest.approx(away)  # signed: above is positive
        assert best_slices(levels)[level] == (0, int(np.abs(away).argmin()))
    assert (found.level == EMPTY).sum() > 20


def test_blocks_belong_to_their_disc_as_a_whole() -> None:
    blocks = [make_block(level, count=5) for level in reversed(LEVELS)]  # 8 mm beside the disc
    levels = axial_levels(blocks, CANAL)
    for order, level in enumerate(reversed(LEVELS)):
        assert (levels[order].level == LEVELS.index(level)).all()
        assert levels[order].angle_deg[LEVELS.index(level)] == pytest.approx(0, abs=1e-5)
        assert best_slices(levels)[level] == (order, 2)


def test_of_two_stacks_the_one_along_the_disc_is_better() -> None:
    straight = make_stack(PLACES[1:6].mean(axis=0), count=45, size=96)
    levels = axial_levels([straight, make_block("l5_s1", lift_mm=1.0)], CANAL)
    assert best_slices(levels)["l5_s1"] == (1, 1)
    assert best_slices(levels)["l3_l4"][0] == 0


def test_steep_blocks_have_their_level_and_the_right_sign() -> None:
    left = np.array([1.0, 0, 0])
    for degrees in (40, 50, 65):  # beyond 45 degrees the normal points to the back, and downwards
        angle = np.radians(degrees)
        back = np.array([0, np.cos(angle), np.sin(angle)])
        (found,) = axial_levels([make_stack(PLACES[5], (left, back))], CANAL)
        order = np.argsort(-found.distance_mm[:, 4])
        assert (found.level == 4).all()
        highest = make_stack(PLACES[5], (left, back)).centres_mm[order[0]]
        assert highest[2] > PLACES[5][2]


def test_repeated_positions_and_several_series_do_not_matter() -> None:
    blocks = [make_block(level) for level in LEVELS]
    once = axial_levels(blocks, CANAL)
    twice = axial_levels([*blocks, *blocks], CANAL)
    assert best_slices(twice) == best_slices(once)
    assert [one.level.tolist() for one in twice] == 2 * [one.level.tolist() for one in once]


def test_uncovered_levels_and_missing_points_have_no_slice() -> None:
    points = {level: place for level, place in CANAL.items() if level != "l5_s1"}
    levels = axial_levels([make_block(level) for level in LEVELS[2:]], points)
    assert set(best_slices(levels)) == {"l3_l4", "l4_l5"}
    assert best_slices(axial_levels([], CANAL)) == {}
    assert axial_levels([make_block("l3_l4")], {})[0].level.tolist() == [EMPTY] * 3


def test_slices_that_do_not_show_a_level_are_not_given_to_it() -> None:
    beside = make_stack(PLACES[3] + [0, 200, 0])
    sagittal = make_stack(PLACES[3], (np.array([0, 1.0, 0]), np.array([0, 0, -1.0])))
    for stack in (beside, sagittal):
        assert (axial_levels([stack], CANAL)[0].level == EMPTY).all()


@pytest.mark.slow
@pytest.mark.parametrize("study_id", range(4))
def test_levels_of_phantoms_axial_slices_are_right(study_id: int) -> None:
    study = phantom(study_id)
    stacks = [stack for one in study.series if one.sequence == AXIAL_T2 for stack in one.stacks]
    numbers = [one.series_id for one in study.series if one.sequence == AXIAL_T2 for _ in one.stacks]
    levels = axial_levels(stacks, canal_of(study))
    recesses = study.landmarks[study.landmarks.condition.str.contains("subarticular")]
    between = 0
    for row in recesses.itertuples():
        (given,) = (
            int(one.level[np.flatnonzero(stack.instance_numbers == row.instance_number)[0]])
            for one, stack, number in zip(levels, stacks, numbers)
            if number == row.series_id and row.instance_number in stack.instance_numbers
        )
        between += given == EMPTY
        assert given in (LEVELS.index(row.level), EMPTY)
    # The smallest phantoms' slices are 10 mm apart: a recess may be on the slice next to its canal point's.
    assert between <= 0.2 * len(recesses)
    assert set(recesses.level) <= set(best_slices(levels))


@pytest.mark.parametrize("study_id", range(4))
def test_recesses_and_foramina_of_phantoms_lie_near_their_mean_places(study_id: int) -> None:
    study = phantom(study_id)
    canal = canal_of(study)
    for group, place, most_mm in (("subarticular", "recess", 3.5), ("foraminal", "foramen", 10.0)):
        expected = predict_points(canal, place)
        for cell, true in places_of(study, group).items():
            beside = expected[place, cell.level, cell.side] - canal[cell.level]
            assert np.sign(beside[0]) == {"left": 1, "right": -1}[cell.side]
            # Includes motion between series; foramina follow real tables, see OFFSETS_MM.
            assert np.linalg.norm(expected[place, cell.level, cell.side] - true) < most_mm


def test_sides_are_the_patients_in_a_curved_and_shifted_spine() -> None:
    lean = np.array([[1, 0, 0.3], [0, 1, 0], [0, 0, 1]])
    curved = {level: lean @ place + np.array([70, 0, 0]) for level, place in CANAL.items()}
    for place in ("foramen", "recess"):
        for mark, at in predict_points(curved, place).items():
            assert np.sign((at - curved[mark.level])[0]) == {"left": 1, "right": -1}[mark.side]


def test_a_place_beside_a_slice_is_moved_onto_it() -> None:
    stack = make_stack(np.zeros(3), count=3, size=9)
    assert on_slice(stack, 2, np.array([2.0, 4.0, 1.0]), stack.normal) == pytest.approx([5, 6])
    along = np.array([0, 2.0, 3.0])
    assert on_slice(stack, 2, np.array([2.0, 4.0, 1.0]), along) == pytest.approx([5, 7])


def test_thin_slices_are_skipped():
    assert len(spread(make_sagittal(count=1), 3, 24)) == 1
    thin = spread(make_sagittal(count=38, step_mm=1), 3, 24)
    assert set(np.diff(thin)) == {3}
    assert thin[0] <= 1
    assert thin[-1] >= 36
    np.testing.assert_array_equal(spread(make_sagittal(count=40), 3, 24), np.arange(8, 32))


def test_an_absurd_field_of_view_is_not_read():
    assert of_plane([make_sagittal(spacing_mm=50)], "sagittal") == []
    assert of_plane([make_sagittal(count=3), make_sagittal(count=5)], "axial") == []


def test_real_axial_and_sagittal_positions_agree(real_dir: Path) -> None:
    """Slice centres of a real study, projected from plane to plane and back, agree within 0.01 mm."""
    tables = real_dir / "tables"
    axial = real_axial(next(tables.glob("test_44036939_axial_headers_*.csv")))
    sagittal = real_sagittal(tables / "test_44036939_sagittal_positions.csv")
    worst = 0.0
    for here, there in [(a, s) for a in axial for s in sagittal] + [(s, a) for a in axial for s in sagittal]:
        col, row, index = there.to_pixel(here.centres_mm).T
        back = here.to_pixel(there.to_patient(col, row, index))
        again = here.to_patient(*back.T)
        worst = max(worst, float(np.abs(again - here.centres_mm).max()))
    print(f"largest difference {worst:.2g} mm")
    assert worst < 0.01


def read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def real_axial(path: Path) -> list[Stack]:
    """The stacks of the headers of axial slices, one for each orientation."""
    groups: dict[str, list[dict[str, str]]] = {}
    for row in read_rows(path):
        groups.setdefault(row["ImageOrientationPatient"] + row["H"] + row["W"], []).append(row)
    return [
        stack_at(
            np.array([json.loads(row["ImagePositionPatient"]) for row in rows]),
            np.array(json.loads(rows[0]["ImageOrientationPatient"])).reshape(2, 3),
            tuple(json.loads(rows[0]["PixelSpacing"])),
            (int(rows[0]["H"]), int(rows[0]["W"])),
        )
        for rows in groups.values()
    ]


def real_sagittal(path: Path) -> list[Stack]:
    """Stacks at sagittal positions, from which directions follow; size and spacing are typical."""
    groups: dict[str, list[list[float]]] = {}
    for row in read_rows(path):
        groups.setdefault(row["series_id"], []).append([float(row[f"{axis}_pos"]) for axis in "xyz"])
    stacks = []
    for places in groups.values():
        steps = np.array(places)
        normal = (steps[-1] - steps[0]) / np.linalg.norm(steps[-1] - steps[0])
        back = np.array([0, 1.0, 0]) - normal[1] * normal
        back /= np.linalg.norm(back)
        down = np.cross(normal, back)
        stacks.append(stack_at(steps, np.stack([back, down * -np.sign(down[2])]), (0.68, 0.68), (384, 384)))
    return stacks


def stack_at(
    origins: np.ndarray, directions: np.ndarray, spacing: tuple[float, float], size: tuple[int, int]
) -> Stack:
    left, _, right = np.linalg.svd(directions, full_matrices=False)
    directions = left @ right
    order = np.argsort(origins @ normal_of(*directions))
    return Stack(
        pixels=np.broadcast_to(np.uint8(0), (len(origins), *size)),
        origins_mm=origins[order],
        row_direction=directions[0],
        column_direction=directions[1],
        spacing_mm=spacing,
        instance_numbers=np.arange(len(origins)),
        files=("",) * len(origins),
    )
