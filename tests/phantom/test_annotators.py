from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kitlib.mri.stack import Stack
from kitlib.mri.study import Series, Study
from kitlib.phantom import annotators
from kitlib.phantom.annotators import LANDMARK_DEFECTS, SCATTER_MM, TABLE_COLUMNS, annotate
from kitlib.terms import CELLS, LEVELS, Cell, group2sequence

SEQUENCE2ID = {"Sagittal T1": 1, "Sagittal T2/STIR": 2, "Axial T2": 3}
AXIAL, UPPER_AXIAL = 3, 4
LATERAL_MM = {"spinal": 0.4, "foraminal": 18.0, "subarticular": 8.0}


def stack(origin_mm: tuple[float, ...], step_mm: float, count: int, *directions: tuple[int, ...]) -> Stack:
    numbers = np.arange(1, count + 1)
    pixels = np.zeros((count, 300, 300), dtype=np.float32)
    row, column = (np.array(direction, dtype=float) for direction in directions)
    origins = np.array(origin_mm) + step_mm * np.outer(numbers - 1, np.abs(np.cross(row, column)))
    return Stack(pixels, origins, row, column, (0.8, 0.8), numbers, tuple(map(str, numbers)))


@pytest.fixture(scope="module")
def study() -> Study:
    """A straight spine in two sagittal series and an axial one."""
    sagittal = stack((-32.0, -120, 120), 4.0, 17, (0, 1, 0), (0, 0, -1))
    axial = stack((-120.0, -120, -100), 4.0, 51, (1, 0, 0), (0, 1, 0))
    id2stack = {1: sagittal, 2: sagittal, AXIAL: axial}
    return Study(9, tuple(Series(own, name, (id2stack[own],)) for name, own in SEQUENCE2ID.items()))


def place_of(cell: Cell) -> np.ndarray:
    side = {"left": 1, "right": -1, None: 1}[cell.side]
    return np.array([side * LATERAL_MM[cell.group], 5.0, 72 - 36 * LEVELS.index(cell.level)])


@pytest.fixture(scope="module")
def landmarks(study: Study) -> pd.DataFrame:
    rows = []
    for cell in CELLS:
        series_id, place = SEQUENCE2ID[group2sequence[cell.group]], place_of(cell)
        found = next(series for series in study.series if series.series_id == series_id).slice_at(place)
        rows.append((9, series_id, found.instance_number, *cell, *found.xy, *place, 5.0))
    return pd.DataFrame(rows, columns=[*TABLE_COLUMNS, "x_mm", "y_mm", "z_mm", "opening_mm"])


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Annotators without errors."""
    for rates in ("SCATTER_MM", "STRAY_RATES", "SHARED_RATES"):
        monkeypatch.setattr(annotators, rates, dict.fromkeys(getattr(annotators, rates), 0.0))
    monkeypatch.setitem(annotators.SHARED_RATES, "spinal", 1.0)
    for rate in ("MISSING_RATE", "FEW_CANALS_RATE"):
        monkeypatch.setattr(annotators, rate, 0.0)


def tables(landmarks: pd.DataFrame, study: Study, count: int) -> pd.DataFrame:
    """Many annotations of one study, with the true pixels."""
    rng = np.random.default_rng(1)
    drawn = [annotate(landmarks, study, rng).assign(study_id=order) for order in range(count)]
    truth = landmarks[["condition", "level", "x", "y", "instance_number"]]
    return pd.concat(drawn).merge(truth, on=["condition", "level"], suffixes=("", "_true"))


def by_cell(table: pd.DataFrame, columns: list[str]) -> dict[Cell, np.ndarray]:
    keys = [Cell(*key) for key in zip(table["condition"], table["level"])]
    return dict(zip(keys, table[columns].to_numpy(dtype=float)))


@pytest.mark.usefixtures("exact")
def test_points_of_exact_annotators_are_the_true_ones(landmarks: pd.DataFrame, study: Study) -> None:
    table = annotate(landmarks, study, np.random.default_rng(0))
    pd.testing.assert_frame_equal(table, landmarks[list(TABLE_COLUMNS)])


def test_a_spread_in_mm_and_mostly_one_slice_for_the_canal(landmarks: pd.DataFrame, study: Study) -> None:
    table = tables(landmarks, study, 400)
    for group, condition in (
        ("spinal", "canal"),
        ("foraminal", "foraminal"),
        ("subarticular", "subarticular"),
    ):
        of_group = table[table["condition"].str.contains(condition)]
        off_mm = 0.8 * (of_group[["x", "y"]].to_numpy() - of_group[["x_true", "y_true"]].to_numpy())
        assert off_mm.std() == pytest.approx(SCATTER_MM[group], rel=0.05)
        assert np.abs(off_mm.mean(axis=0)).max() < 0.15
        assert (of_group["instance_number"] - of_group["instance_number_true"]).abs().max() == 1
    canal = table[table["condition"].str.contains("canal")].groupby("study_id")
    assert (canal["instance_number"].nunique() > 1).mean() == pytest.approx(433 / 1975, abs=0.06)
    assert (canal.size() < 5).mean() == pytest.approx(75 / 1975, abs=0.03)
    assert canal.size().min() >= 3
    sides = table[table["condition"].str.contains("sub")].pivot_table(
        index=["study_id", "level"], columns="condition", values="instance_number"
    )
    assert (sides.iloc[:, 0] == sides.iloc[:, 1]).mean() == pytest.approx(0.62, abs=0.06)
    assert 1 - len(table) / 400 / 25 == pytest.approx(146 / 48803, abs=0.002)


def test_points_stay_in_the_image(
    monkeypatch: pytest.MonkeyPatch, landmarks: pd.DataFrame, study: Study
) -> None:
    monkeypatch.setattr(annotators, "SCATTER_MM", dict.fromkeys(SCATTER_MM, 200.0))
    table = annotate(landmarks, study, np.random.default_rng(0))
    assert table["x"].between(0, 299).all()
    assert table["y"].between(0, 299).all()
    assert (table[["x", "y"]] == 0).any(axis=None)


@pytest.mark.usefixtures("exact")
def test_sides_may_lie_in_two_axial_series(landmarks: pd.DataFrame, study: Study) -> None:
    half = stack((-120.0, -120, -10), 5.0, 25, (1, 0, 0), (0, 1, 0))  # L1/L2 to L3/L4
    both = replace(study, series=(*study.series, Series(UPPER_AXIAL, "Axial T2", (half,))))
    table = annotate(landmarks, both, np.random.default_rng(0))
    axial = table[table["condition"].str.contains("subarticular")]
    per_level = axial.groupby("level")["series_id"].agg(set)
    assert all(per_level[level] == {AXIAL, UPPER_AXIAL} for level in LEVELS[:3])
    assert all(per_level[level] == {AXIAL} for level in LEVELS[3:])
    for point in axial[axial["series_id"] == UPPER_AXIAL].itertuples():
        place = half.to_patient(point.x, point.y, point.instance_number - 1)
        assert np.abs(place - place_of(Cell(point.condition, point.level))).max() <= 2.5


@pytest.mark.usefixtures("exact")
def test_swapped_sides_only_on_request(
    monkeypatch: pytest.MonkeyPatch,
    landmarks: pd.DataFrame,
    study: Study,
) -> None:
    monkeypatch.setattr(annotators, "SWAPPED_RATE", 1.0)
    plain, swapped = (
        by_cell(annotate(landmarks, study, np.random.default_rng(0), defects=defects), ["x", "y"])
        for defects in ([], ["swapped_sides"])
    )
    for cell, xy in plain.items():
        other = {"left": "right", "right": "left"}.get(cell.side or "")
        expected = xy
        if cell.group == "subarticular":
            expected = plain[Cell(cell.condition.replace(cell.side, other), cell.level)]
        assert np.array_equal(swapped[cell], expected)


@pytest.mark.usefixtures("exact")
def test_one_level_off_only_on_request(
    monkeypatch: pytest.MonkeyPatch,
    landmarks: pd.DataFrame,
    study: Study,
) -> None:
    monkeypatch.setattr(annotators, "OFF_BY_ONE_RATES", dict.fromkeys(annotators.OFF_BY_ONE_RATES, 1.0))
    seen = set()
    for seed in range(8):
        plain, off = (
            by_cell(annotate(landmarks, study, np.random.default_rng(seed), defects=defects), ["y"])
            for defects in ([], ["off_by_one"])
        )
        moved_mm = {cell: 0.8 * (off[cell] - plain[cell]).item() for cell in plain}
        assert all(moved_mm[cell] == 0 for cell in moved_mm if cell.group == "subarticular")
        sagittal = {round(moved_mm[cell]) for cell in moved_mm if cell.group != "subarticular"}
        assert sagittal in ({36}, {-36})
        seen |= sagittal
    assert seen == {36, -36}


def test_defects_leave_the_other_points_alone(
    monkeypatch: pytest.MonkeyPatch, landmarks: pd.DataFrame, study: Study
) -> None:
    monkeypatch.setattr(annotators, "OFF_BY_ONE_RATES", {"Sagittal T1": 1.0, "Sagittal T2/STIR": 0.0})
    plain, off = (
        annotate(landmarks, study, np.random.default_rng(2), defects=defects)
        for defects in ([], ["off_by_one"])
    )
    is_same = (plain == off).all(axis=1)
    assert is_same.equals(~plain["condition"].str.contains("foraminal"))


def test_only_labelled_cells_get_points_and_the_truth_stays(landmarks: pd.DataFrame, study: Study) -> None:
    some, before = landmarks.iloc[3:18], landmarks.copy()
    for seed in range(20):
        table = annotate(some, study, np.random.default_rng(seed), defects=LANDMARK_DEFECTS)
        assert list(table) == list(TABLE_COLUMNS)
        assert set(zip(table["condition"], table["level"])) <= set(zip(some["condition"], some["level"]))
    pd.testing.assert_frame_equal(landmarks, before)
    assert list(annotate(landmarks.iloc[:0], study, np.random.default_rng(0))) == list(TABLE_COLUMNS)


def test_the_same_draws_give_the_same_table(landmarks: pd.DataFrame, study: Study) -> None:
    one, other = (annotate(landmarks, study, np.random.default_rng(5)) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)
