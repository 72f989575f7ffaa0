"""Grading a table: every row is graded or has a reason why it cannot be."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from kitlib.errors import TableError
from kitlib.grade.network import Grader, ViewNet
from kitlib.grade.table import GRADES, grade_table

ROW = {
    "image": "t1.png", "study_id": "7", "sequence": "Sagittal T1", "place": "foramen", "level": "L4/L5",
    "side": "left", "x": "50", "y": "60", "spacing_mm": "0.8",
}  # fmt: skip


@pytest.fixture(scope="module")
def grader() -> Grader:
    torch.manual_seed(0)
    return Grader(ViewNet())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(1, 255, (120, 100), np.uint8)).save(tmp_path / "t1.png")
    Image.fromarray(rng.integers(1, 255, (90, 110, 3), np.uint8)).save(tmp_path / "axial.png")
    Image.fromarray(np.zeros((120, 100), np.uint8)).save(tmp_path / "black.png")
    Image.fromarray(np.full((120, 100), 77, np.uint8)).save(tmp_path / "grey.png")
    return tmp_path


def table(folder: Path, *rows: dict[str, str]) -> Path:
    file = folder / "places.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


AXIAL = ROW | {"image": "axial.png", "sequence": "Axial T2", "place": "recess"}


def test_rows_of_all_kinds_are_graded_in_their_order(folder: Path, grader: Grader) -> None:
    canal = ROW | {"sequence": "Sagittal T2/STIR", "place": "canal", "side": ""}
    graded = grade_table(table(folder, ROW, AXIAL, canal, AXIAL | {"side": "right"}), grader)
    assert not graded.problems
    assert graded.rows["place"].tolist() == ["foramen", "recess", "canal", "recess"]
    assert np.isfinite(graded.rows[list(GRADES)].to_numpy(float)).all()
    np.testing.assert_allclose(graded.rows[list(GRADES[:3])].sum(axis=1), 1)


def test_a_row_does_not_depend_on_those_beside_it(
    folder: Path, grader: Grader, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [ROW | {"x": str(x)} for x in range(30, 70, 10)] + [AXIAL]
    together = grade_table(table(folder, *rows), grader).rows
    monkeypatch.setattr("kitlib.grade.table.AT_ONCE", 2)
    in_pairs = grade_table(table(folder, *rows), grader).rows
    np.testing.assert_allclose(
        in_pairs[list(GRADES)].astype(float), together[list(GRADES)].astype(float), atol=1e-4
    )


def test_pixels_that_are_not_square_are_taken_as_they_are(folder: Path, grader: Grader) -> None:
    """An image and the same image with half the rows give the same view."""
    smooth = np.add.outer(np.arange(120), np.arange(100)).astype(np.uint8)
    Image.fromarray(smooth).save(folder / "t1.png")
    Image.fromarray(smooth[::2]).save(folder / "flat.png")
    flat = ROW | {"image": "flat.png", "y": "30", "spacing_y_mm": "1.6"}
    one, other = grade_table(table(folder, ROW, flat), grader).rows[list(GRADES)].to_numpy(float)
    np.testing.assert_allclose(one, other, atol=0.05)


def test_the_same_image_is_weighed_by_the_level_that_it_is_of(folder: Path) -> None:
    """Severe foramina are rare at L1/L2: the shipped grader reflects that for the same view."""
    graded = grade_table(table(folder, ROW | {"level": "L1/L2"}, ROW | {"level": "L5/S1"}), Grader.shipped())
    upper, lower = graded.rows[list(GRADES)].to_numpy(float)
    assert upper[2] < lower[2]
    assert upper[3] == lower[3]


def test_a_place_just_off_its_image_is_graded(folder: Path, grader: Grader) -> None:
    graded = grade_table(table(folder, ROW | {"x": "-3.5"}, ROW | {"y": "125"}), grader)
    assert not graded.problems
    assert graded.rows["severe"].notna().all()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"image": "nowhere.png"}, "no such image"),
        ({"image": "black.png"}, "nothing is visible"),
        ({"image": "grey.png"}, "nothing is visible"),
        ({"sequence": "T1"}, "is not graded"),
        ({"place": "disc"}, "is not graded"),
        ({"sequence": "Axial T2"}, "is not graded"),
        ({"side": ""}, "the side of a foramen"),
        ({"side": "Left"}, "the side of a foramen"),
        ({"level": "l4_l5"}, "the level"),
        ({"x": "900"}, "x is unfit"),
        ({"y": "nan"}, "y is unfit"),
        ({"x": ""}, "x is empty"),
        ({"spacing_mm": "45"}, "spacing_mm is unfit"),
        ({"spacing_mm": "0"}, "spacing_mm is unfit"),
        ({"spacing_y_mm": "inf"}, "spacing_y_mm is unfit"),
    ],
)
def test_a_bad_row_costs_itself(folder: Path, grader: Grader, change: dict[str, str], why: str) -> None:
    graded = grade_table(table(folder, ROW, ROW | change, AXIAL), grader)
    (problem,) = graded.problems
    assert problem.startswith("line 3: ")
    assert why in problem
    assert graded.rows["severe"].notna().tolist() == [True, False, True]


def test_spaces_around_fields_do_not_count(folder: Path, grader: Grader) -> None:
    file = table(folder, ROW)
    neat = grade_table(file, grader).rows
    file.write_text(file.read_text().replace(",", " , "))
    pd.testing.assert_frame_equal(grade_table(file, grader).rows, neat)


def test_lines_of_another_length_cost_themselves(folder: Path, grader: Grader) -> None:
    file = table(folder, ROW, ROW, ROW)
    first, short, long, last = file.read_text().splitlines()
    file.write_text("\ufeff" + "\n".join([first, short[:-4], long + ",more", "", last]))
    graded = grade_table(file, grader)
    assert [problem.partition(":")[0] for problem in graded.problems] == ["line 2", "line 3"]
    assert graded.rows["severe"].notna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "are missing"),
        ("image,x\nt1.png,3\n", "are missing"),
        (",".join((*ROW, "severe")) + "\n", "cannot be kept"),
        (",".join((*ROW, "x")) + "\n", "cannot be kept"),
        (",".join(ROW) + "\n", "no row"),
        ('image,"x\n', "not CSV"),
    ],
)
def test_what_is_no_such_table_is_refused(folder: Path, grader: Grader, text: str, why: str) -> None:
    (folder / "places.csv").write_text(text)
    with pytest.raises(TableError, match=why):
        grade_table(folder / "places.csv", grader)
