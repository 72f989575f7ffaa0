import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import Provenance, load_json
from kitlib.competition.tables import read_landmarks, read_series_descriptions, read_train_labels
from kitlib.errors import UsageError
from kitlib.localise.audit.findings import CODES, REPORT_COLUMNS
from kitlib.localise.audit.landmarks import audit, save_report, summary
from kitlib.phantom.study import draw_study
from kitlib.terms import EMPTY, LEVELS, other_side
from tests.localise import landmark_defects as defects
from tests.localise.landmark_tables import (
    AXIAL_ID,
    LEVEL_Z_MM,
    SAGITTAL_T1_ID,
    SAGITTAL_T2_ID,
    Tables,
    make_tables,
)

PHANTOMS = 6
GOOD = 0.95


@pytest.fixture
def tables() -> Tables:
    return make_tables()


@pytest.fixture(scope="module")
def phantoms() -> Tables:
    """Smoke-size phantoms with natural variation: scatter, motion, several axial series, missing points."""
    studies = [draw_study(study_id, seed=5, size="smoke") for study_id in range(1, PHANTOMS + 1)]
    labels = pd.DataFrame(
        [study.labels for study in studies],
        pd.Index([study.study_id for study in studies], name="study_id"),
        make_tables().labels.columns,
    )
    series = [(study.study_id, one.series_id, one.sequence) for study in studies for one in study.series]
    stacks = {(study.study_id, one.series_id): list(one.stacks) for study in studies for one in study.series}
    points = pd.concat([study.points for study in studies], ignore_index=True)
    return Tables(labels, points, pd.DataFrame(series, columns=["study_id", "series_id", "sequence"]), stacks)


def audited(tables: Tables, landmarks: pd.DataFrame | None = None, **options: object) -> pd.DataFrame:
    """The audit with geometry."""
    points = tables.landmarks if landmarks is None else landmarks
    return audit(tables.labels, points, tables.series, study_of=tables.study_of, **options)


def by_table(tables: Tables, landmarks: pd.DataFrame | None = None) -> pd.DataFrame:
    """The audit of the tables alone."""
    return audit(tables.labels, tables.landmarks if landmarks is None else landmarks, tables.series)


def sizes_of(tables: Tables) -> pd.DataFrame:
    rows = [
        (*ids, int(number), *stack.pixels.shape[1:])
        for ids, stacks in tables.stacks.items()
        for stack in stacks
        for number in stack.instance_numbers
    ]
    return pd.DataFrame(rows, columns=["study_id", "series_id", "instance_number", "height", "width"])


def lowered(landmarks: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """Move the chosen points one level down, so that their names are a level too high."""
    gaps = -np.diff(list(LEVEL_Z_MM.values()), append=-100.0)
    gap_px = landmarks["level"].map(dict(zip(LEVELS, gaps / 0.5)))
    return landmarks.assign(y=landmarks["y"] + chosen * gap_px)


@pytest.mark.parametrize("audit_of", [audited, by_table])
def test_a_flawless_study_has_no_finding(tables: Tables, audit_of: Callable) -> None:
    report = audit_of(tables)
    assert report.empty
    assert list(report) == list(REPORT_COLUMNS)
    assert list(summary(report).index) == list(CODES)
    assert not summary(report).to_numpy().any()


def test_the_tables_are_left_as_they_are(tables: Tables) -> None:
    before = tables.landmarks.copy(), tables.labels.copy(), tables.series.copy()
    audited(tables)
    for was, now in zip(before, (tables.landmarks, tables.labels, tables.series)):
        pd.testing.assert_frame_equal(was, now)


def test_the_order_of_rows_does_not_matter(phantoms: Tables) -> None:
    rng = np.random.default_rng(1)
    spoilt, _ = defects.displace(*defects.swap_sides(phantoms.landmarks, rng, 0.3)[:1], rng, 0.3)
    named = ["code", "study_id", "condition", "level", "detail"]
    first, second = (audited(phantoms, points) for points in (spoilt, spoilt.sample(frac=1, random_state=1)))
    pd.testing.assert_frame_equal(first[named], second[named])


def test_labels_and_points_without_each_other(tables: Tables) -> None:
    tables.labels.loc[7, "spinal_canal_stenosis_l1_l2"] = EMPTY
    report = by_table(tables, tables.landmarks.drop(index=2))
    lost, bare = report[report["code"] == "point.missing"], report[report["code"] == "label.missing"]
    assert (len(report), len(lost), len(bare)) == (2, 1, 1)
    assert lost[["condition", "level", "series_id"]].to_numpy().tolist() == [
        ["spinal_canal_stenosis", "l3_l4", SAGITTAL_T2_ID]
    ]
    assert pd.isna(lost["row"].iloc[0])
    assert bare["row"].tolist() == [0]


def test_a_missing_series_is_told_from_a_forgotten_point(tables: Tables) -> None:
    tables.series = tables.series[tables.series["series_id"] != SAGITTAL_T2_ID]
    report = by_table(tables, tables.landmarks[tables.landmarks["series_id"] != SAGITTAL_T2_ID])
    assert set(report["detail"]) == {"the study has no series of the sequence"}
    assert len(report) == 5


def test_unfit_points_are_named_once_and_dropped(tables: Tables) -> None:
    points = tables.landmarks
    points.loc[0, "series_id"] = SAGITTAL_T1_ID
    points.loc[1, "series_id"] = 99
    points.loc[2, "x"] = 400.0
    points.loc[3, "y"] = -1.0
    points.loc[4, "instance_number"] = 50
    points = pd.concat([points, points.iloc[[9]]], ignore_index=True)
    report = audited(tables, points)
    assert dict(zip(report["row"], report["code"])) == {
        0: "sequence.wrong",
        1: "series.unknown",
        2: "image.outside",
        3: "image.outside",
        4: "image.missing",
        25: "point.doubled",
    }
    assert set(report["action"]) == {"drop"}


def test_sizes_show_what_lies_outside(tables: Tables) -> None:
    points = tables.landmarks
    points.loc[2, "x"] = 400.0
    assert by_table(tables, points).empty
    report = audit(tables.labels, points, tables.series, sizes=sizes_of(tables))
    assert report[["code", "row"]].to_numpy().tolist() == [["image.outside", 2]]
    with pytest.raises(UsageError, match="lacks width"):
        audit(tables.labels, points, tables.series, sizes=sizes_of(tables).drop(columns="width"))


@pytest.mark.parametrize("audit_of", [audited, by_table])
@pytest.mark.parametrize("place", ["subarticular", "foraminal"])
def test_a_pair_with_its_sides_exchanged(tables: Tables, audit_of: Callable, place: str) -> None:
    points = tables.landmarks
    pair = points["condition"].str.contains(place) & (points["level"] == "l3_l4")
    points.loc[pair, ["instance_number", "x"]] = points.loc[pair, ["instance_number", "x"]].to_numpy()[::-1]
    report = audit_of(tables, points)
    assert report["code"].tolist() == ["side.swapped"] * 2
    assert set(report["row"]) == set(points.index[pair])
    assert (report["mended_condition"] != report["condition"]).all()
    assert summary(report).loc["side.swapped", ["points", "places"]].tolist() == [2, 1]


def test_a_point_without_counterpart_is_held_against_the_other_levels(tables: Tables) -> None:
    lone = tables.landmarks.drop(index=tables.landmarks.index[-1])  # its left counterpart stays
    assert set(audited(tables, lone)["code"]) == {"point.missing"}
    row = lone.index[lone["condition"].str.startswith("left_sub")][-1]
    lone.loc[row, "condition"] = "right_subarticular_stenosis"
    report = audited(tables, lone)
    assert report.loc[report["code"] == "side.swapped", "row"].tolist() == [row]


def test_a_localiser_that_found_other_levels_only_says_nothing(tables: Tables) -> None:
    assert audited(tables, locate=lambda _: {7: {"t12_l1": np.zeros(3)}}).empty


def test_sides_in_two_series_cross_in_pixels_but_not_in_millimetres(tables: Tables) -> None:
    right = tables.landmarks["condition"] == "right_subarticular_stenosis"
    fine = tables.stacks[7, AXIAL_ID][0]
    tables.stacks[7, 4] = [
        type(fine).from_geometry(
            np.broadcast_to(np.float32(0), (42, 640, 640)), {**fine.geometry(), "spacing_mm": [0.25, 0.25]}
        )
    ]
    tables.series.loc[3] = [7, 4, "Axial T2"]
    tables.landmarks.loc[right, "series_id"] = 4
    tables.landmarks.loc[right, ["x", "y"]] *= 2
    report = by_table(tables)
    assert summary(report).loc["side.crossed", ["points", "places", "look"]].tolist() == [10, 5, 10]
    assert audited(tables).empty


@pytest.mark.parametrize("series_id", [SAGITTAL_T1_ID, SAGITTAL_T2_ID])
def test_the_axial_series_decides_which_series_is_a_level_off(tables: Tables, series_id: int) -> None:
    chosen = tables.landmarks["series_id"] == series_id
    report = audited(tables, lowered(tables.landmarks, chosen))
    assert set(report["code"]) == {"level.off_by_one"}
    assert set(report["row"]) == set(tables.landmarks.index[chosen])
    below = dict(pairwise(LEVELS))
    for finding in report.itertuples():
        assert finding.mended_level == below.get(finding.level)
        assert finding.action == ("drop" if finding.level == "l5_s1" else "mend")


def test_without_a_third_series_both_are_doubted_unless_a_localiser_decides(tables: Tables) -> None:
    points = tables.landmarks[tables.landmarks["series_id"] != AXIAL_ID]
    points = lowered(points, points["series_id"] == SAGITTAL_T1_ID)
    report = audited(tables, points)
    doubted = report[report["code"] == "level.disagree"]
    assert set(doubted["series_id"]) == {SAGITTAL_T1_ID, SAGITTAL_T2_ID}
    assert set(doubted["action"]) == {"drop"}
    canal = {level: np.array([0, 0, z]) for level, z in LEVEL_Z_MM.items()}
    report = audited(tables, points, locate=lambda studies: dict.fromkeys(studies, canal))
    assert set(report.loc[report["code"].str.startswith("level"), "series_id"]) == {SAGITTAL_T1_ID}


def test_a_localiser_tells_the_axial_series_from_two_that_are_both_off(tables: Tables) -> None:
    points = lowered(tables.landmarks, tables.landmarks["series_id"] != AXIAL_ID)
    assert set(audited(tables, points)["series_id"]) == {AXIAL_ID}  # only a majority decides
    canal = {level: np.array([0, 0, z]) for level, z in LEVEL_Z_MM.items()}
    report = audited(tables, points, locate=lambda studies: dict.fromkeys(studies, canal))
    assert set(report["series_id"]) == {SAGITTAL_T1_ID, SAGITTAL_T2_ID}


def test_a_localiser_is_asked_only_where_series_differ_or_are_too_few(tables: Tables) -> None:
    asked = []

    def locate(studies: list[int]) -> dict:
        asked.extend(studies)
        return {}

    audited(tables, locate=locate)
    assert asked == []
    audited(tables, tables.landmarks[tables.landmarks["series_id"] != AXIAL_ID], locate=locate)
    audited(tables, lowered(tables.landmarks, tables.landmarks["series_id"] == SAGITTAL_T1_ID), locate=locate)
    assert asked == [7, 7]


def test_two_series_that_are_off_together_are_outvoted_by_a_localiser(tables: Tables) -> None:
    points = tables.landmarks[tables.landmarks["series_id"] != AXIAL_ID]
    points, injected = defects.shift_both_levels(points, np.random.default_rng(0), 1.0)
    canal = {level: np.array([0, 0, z]) for level, z in LEVEL_Z_MM.items()}
    report = audited(tables, points, locate=lambda studies: dict.fromkeys(studies, canal))
    assert defects.sources(report[report["code"] == "level.off_by_one"]) == injected
    assert not set(audited(tables, points)["code"]) & {"level.off_by_one", "level.disagree"}


def test_swapped_sides_still_tell_how_levels_are_named(tables: Tables) -> None:
    points = lowered(tables.landmarks, tables.landmarks["series_id"] == SAGITTAL_T1_ID)
    axial = points["series_id"] == AXIAL_ID
    points.loc[axial, "condition"] = points.loc[axial, "condition"].map(other_side)
    report = audited(tables, points)
    assert report.groupby("code")["series_id"].unique().map(list).to_dict() == {
        "level.off_by_one": [SAGITTAL_T1_ID],
        "side.swapped": [AXIAL_ID],
    }


def test_equal_views_betray_a_level_without_geometry(tables: Tables) -> None:
    points = lowered(tables.landmarks, tables.landmarks["series_id"] == SAGITTAL_T1_ID)
    report = audit(tables.labels, points, tables.series, sizes=sizes_of(tables))
    assert set(report["code"]) == {"level.disagree"}
    assert set(report["action"]) == {"look"}


@pytest.mark.parametrize("audit_of", [audited, by_table])
def test_a_point_at_the_next_level(tables: Tables, audit_of: Callable) -> None:
    tables.landmarks.loc[1, "y"] = tables.landmarks.loc[2, "y"]
    report = audit_of(tables)
    assert report[["code", "row", "action"]].to_numpy().tolist() == [["level.misplaced", 1, "drop"]]


def test_a_series_that_cannot_be_read_is_judged_by_the_table(tables: Tables) -> None:
    tables.stacks.clear()
    tables.landmarks.loc[1, "y"] = tables.landmarks.loc[2, "y"]
    pd.testing.assert_frame_equal(audited(tables), by_table(tables))


def test_a_table_without_rows_or_columns(tables: Tables) -> None:
    report = audited(tables, tables.landmarks[:0])
    assert report["code"].tolist() == ["point.missing"] * 25
    with pytest.raises(UsageError, match="lacks level"):
        by_table(tables, tables.landmarks.drop(columns="level"))


def test_the_report_is_saved_as_plain_values(tables: Tables, tmp_path: Path) -> None:
    tables.landmarks.loc[2, "x"] = -5.0
    report = by_table(tables, tables.landmarks.drop(index=7))
    save_report(tmp_path / "audit.json", report, Provenance())
    saved = load_json(tmp_path / "audit.json")
    assert [finding["code"] for finding in saved["findings"]] == ["image.outside", "point.missing"]
    assert saved["findings"][0]["instance_number"] == 7
    assert saved["findings"][1]["row"] is None
    assert saved["summary"]["image.outside"]["drop"] == 1
    assert "NaN" not in json.dumps(saved)


def test_what_is_natural_in_phantoms_is_no_finding(phantoms: Tables) -> None:
    assert set(audited(phantoms)["code"]) <= {"point.missing"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inject", "rate", "code", "keys"),
    [
        (defects.swap_sides, 0.3, "side.swapped", defects.places),
        (defects.shift_levels, 0.6, "level.off_by_one", defects.sources),
        (defects.forget, 0.1, "point.missing", defects.cells),
        (defects.push_outside, 0.1, "image.outside", defects.cells),
        (defects.repeat, 0.1, "point.doubled", defects.cells),
        (defects.misfile, 0.1, "sequence.wrong", defects.cells),
        (defects.displace, 0.15, "level.misplaced", defects.cells),
    ],
    ids=["swapped", "off by one", "missing", "outside", "doubled", "wrong sequence", "displaced"],
)
def test_injected_defects_are_found(
    phantoms: Tables, inject: Callable, rate: float, code: str, keys: Callable
) -> None:
    natural = keys(audited(phantoms).loc[lambda report: report["code"] == code])
    more = (phantoms.series,) if inject is defects.misfile else ()
    spoilt, injected = inject(phantoms.landmarks, np.random.default_rng(3), rate, *more)
    assert len(injected) >= 3
    found = keys(audited(phantoms, spoilt).loc[lambda report: report["code"] == code])
    assert len(found & injected) >= GOOD * len(injected)
    assert len(found & (injected | natural)) >= GOOD * len(found)


@pytest.mark.slow
def test_counts_of_the_real_tables(real_dir: Path) -> None:
    """As in docs/facts.md, 121 axial pairs look swapped; only one has both sides in one series."""
    folder = real_dir / "tables"
    labels = read_train_labels(folder / "train.csv")
    landmarks = read_landmarks(folder / "train_label_coordinates.csv.gz")
    series = read_series_descriptions(folder / "train_series_descriptions.csv")
    sizes = pd.read_csv(folder / "annotated_image_dims.csv.gz")
    report = audit(labels, landmarks, series, sizes=sizes)
    counts = summary(report)
    axial = report[report["condition"].str.contains("subarticular")]
    places = summary(axial)["places"]
    assert (places["side.swapped"], places["side.crossed"]) == (1, 120)
    assert counts.loc["sequence.wrong", "points"] == 5
    assert counts.loc["label.missing", "points"] == 35
    missing = report[report["code"] == "point.missing"]
    canal = missing["condition"] == "spinal_canal_stenosis"
    assert missing.loc[canal, "study_id"].nunique() == 75
    assert (len(missing), canal.sum(), (~canal).sum()) == (146, 117, 29)
    assert counts.loc["image.outside", "points"] == 0
