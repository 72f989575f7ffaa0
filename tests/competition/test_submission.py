"""The submission: what the writer writes is accepted, and every kind of invalid file is refused."""

import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitlib.competition.priors import Prior
from kitlib.competition.submission import to_array, to_rows, validate_submission, write_submission
from kitlib.competition.tables import read_predictions
from kitlib.errors import SubmissionError
from kitlib.terms import PROBABILITIES
from tests.competition.builders import make_labels, make_predictions
from tests.properties import derandomised

STUDIES = [7, 10, 123]


@pytest.fixture
def submission(tmp_path):
    """The path and the text of a valid submission."""
    path = tmp_path / "submission.csv"
    write_submission(path, make_predictions(STUDIES))
    return path, path.read_text()


def refused(path, content, study_ids=STUDIES):
    """The message with which the validator refuses the content; it names the file and gives a hint."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SubmissionError) as caught:
        validate_submission(path, study_ids)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return caught.value.what


def edited(text, line, column, value):
    """The text with one field replaced."""
    lines = [row.split(",") for row in text.splitlines()]
    lines[line][column] = value
    return "\n".join(",".join(row) for row in lines) + "\n"


def test_rows_and_array_are_each_others_inverse():
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], size=(3, 25))
    rows = to_rows(STUDIES, probabilities)
    assert rows.index.name == "row_id"
    assert rows.columns.tolist() == list(PROBABILITIES)
    np.testing.assert_array_equal(to_array(STUDIES, rows.sample(frac=1, random_state=0)), probabilities)
    np.testing.assert_array_equal(to_array([123, 7], rows), probabilities[[2, 0]])
    assert np.isnan(to_array([8], rows)).all()
    assert to_array([], to_rows([], np.empty((0, 25, 3)))).shape == (0, 25, 3)


ROWS = make_predictions(STUDIES).to_csv(float_format="%.6f").splitlines()


@derandomised
@given(seed=st.integers(0, 999), end=st.sampled_from(["\n", "\r\n"]), lost=st.integers(1, len(ROWS) - 1))
def test_rows_may_stand_in_any_order_and_none_may_be_lost_or_stand_twice(tmp_path_factory, seed, end, lost):
    path = tmp_path_factory.getbasetemp() / "submission.csv"
    rows = random.Random(seed).sample(ROWS[1:], len(ROWS) - 1)
    path.write_bytes(end.join([ROWS[0], *rows, ""]).encode())
    validate_submission(path, STUDIES)
    assert "1 of 75 rows are missing" in refused(path, end.join([ROWS[0], *rows[: lost - 1], *rows[lost:]]))
    assert "again in line" in refused(path, end.join([ROWS[0], *rows, rows[lost - 1]]))


def test_the_writer_sorts_normalises_and_drops_what_kaggle_does_not_ask(submission, tmp_path):
    _, text = submission
    shuffled = make_predictions(STUDIES).sample(frac=1, random_state=0).iloc[:, ::-1]
    write_submission(tmp_path / "other.csv", (shuffled * 4).assign(model="a", rung="full"))
    other = pd.read_csv(tmp_path / "other.csv", index_col="row_id")
    pd.testing.assert_frame_equal(other, pd.read_csv(submission[0], index_col="row_id"))
    validate_submission(tmp_path / "other.csv", reversed(STUDIES))
    assert text.splitlines()[0] == "row_id,normal_mild,moderate,severe"
    assert text.splitlines()[1].startswith("10_")
    assert other.index.is_monotonic_increasing


def test_same_bytes_on_a_second_write(submission):
    path, text = submission
    write_submission(path, make_predictions(STUDIES))
    assert path.read_text() == text


def test_priors_stand_first_and_are_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "submission.csv"
    write_submission(path, Prior.fit(make_labels()).predict(STUDIES))
    validate_submission(path, STUDIES)
    first = path.read_text()
    write_submission(path, make_predictions(STUDIES))
    validate_submission(path, STUDIES)
    assert path.read_text() != first
    assert [file.name for file in path.parent.iterdir()] == ["submission.csv"]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda rows: rows[1:], "1 of 75 rows are missing"),
        (lambda rows: pd.concat([rows, rows[:2]]), "2 rows stand twice"),
        (
            lambda rows: rows.replace({"severe": {rows.severe.iloc[3]: np.nan}}),
            "normal_mild is empty in line",
        ),
        (lambda rows: rows * (rows.index != rows.index[3])[:, None], "normal_mild is empty in line"),
        (lambda rows: rows.assign(moderate=-0.01), "outside 0..1"),
        (lambda rows: rows.drop(columns="moderate"), "no column moderate"),
        (lambda rows: rows.reset_index(drop=True), "is not <study_id>_<condition>_<level>"),
        (lambda rows: rows.rename(index=lambda row: row + "x"), "is not <study_id>"),
        (lambda rows: rows[:0], "a header and no row"),
    ],
)
def test_the_writer_leaves_the_old_file_when_rows_are_wrong(submission, spoil, what):
    path, text = submission
    with pytest.raises(SubmissionError, match=what):
        write_submission(path, spoil(make_predictions(STUDIES)))
    assert path.read_text() == text
    assert len(list(path.parent.iterdir())) == 1


def test_what_is_no_table_is_refused(submission, tmp_path):
    path, text = submission
    assert refused(path, "") == "the file is empty"
    assert "a header and no row" in refused(path, text.splitlines()[0])
    assert "UTF-8" in refused(path, text.encode("utf-16"))
    assert "byte order mark" in refused(path, text.encode("utf-8-sig"))
    assert "missing columns" in refused(path, "<html>")
    assert "line 3 has 1 fields" in refused(path, "\n".join(text.splitlines()[:2]) + "\n10_spinal")
    with pytest.raises(SubmissionError, match="missing"):
        validate_submission(tmp_path / "absent.csv", STUDIES)


def test_columns_are_the_four_in_their_order(submission):
    path, text = submission
    table = pd.read_csv(path)
    assert "'severe'" in refused(path, table.drop(columns="severe").to_csv(index=False))
    assert refused(path, table.to_csv()) == "1 surplus or repeated columns"
    assert "1 surplus" in refused(path, table.to_csv(index_label="Unnamed: 0"))
    assert "1 surplus" in refused(path, table.assign(model="a").to_csv(index=False))
    assert "missing columns 'severe'; 1 surplus" in refused(path, text.replace("severe", "Severe", 1))
    reordered = table[["row_id", "severe", "moderate", "normal_mild"]]
    assert "in the order row_id, severe" in refused(path, reordered.to_csv(index=False))


def test_rows_may_stand_in_any_order_and_have_six_decimals(submission):
    path, _ = submission
    table = pd.read_csv(path, index_col="row_id").sample(frac=1, random_state=0)
    table.iloc[0] = 1 / 3
    table.to_csv(path, float_format="%.6f")
    validate_submission(path, STUDIES)
    assert read_predictions(path).index.tolist() == table.index.tolist()


def test_rows_are_those_of_the_studies_and_stand_once(submission):
    path, text = submission
    header, *rows = text.splitlines()

    def joined(rows):
        return "\n".join([header, *rows]) + "\n"

    assert f"1 of 75 rows are missing, the first is {rows[4].split(',')[0]}" in refused(
        path, joined(rows[:4] + rows[5:])
    )
    assert "stands in line 76 and again in line 77" in refused(path, joined([*rows, rows[-1]]))
    assert "row_id is unfit in line 2" in refused(path, edited(text, 1, 0, "10_hip"))
    assert "row_id is unfit" in refused(path, edited(text, 1, 0, "x"))
    assert "row_id is empty" in refused(path, edited(text, 1, 0, ""))
    assert "row_id is unfit" in refused(path, text.replace("\n10_", "\n010_"))
    assert "25 of 100 rows are missing, the first is 8_" in refused(path, text, [*STUDIES, 8])
    assert "25 of 50 rows are of no study or cell of the test set, the first is 7_" in refused(
        path, text, [10, 123]
    )


@pytest.mark.parametrize(
    "value", ["", "nan", "NaN", "inf", "-inf", "high", "0,3", "0x1", "1_0", "True", "1+0j", "None"]
)
def test_values_are_finite_numbers(submission, value):
    path, text = submission
    spoiled = edited(text, 5, 2, f'"{value}"')
    assert f"moderate is {'unfit' if value else 'empty'} in line 6" in refused(path, spoiled)


def test_values_are_probabilities(submission):
    path, text = submission
    row = text.splitlines()[5].split(",")[0]

    def with_row(*values):
        changed = text
        for column, value in enumerate(values, start=1):
            changed = edited(changed, 5, column, value)
        return changed

    assert f"outside 0..1 in 1 rows, first in {row}: 1.1, -0.1, 0" in refused(
        path, with_row("1.1", "-0.1", "0")
    )
    assert "do not sum to 1" in refused(path, with_row("0.5", "0.2", "0.2"))
    assert "do not sum to 1" in refused(path, with_row("0", "0", "0"))
    path.write_text(with_row("0.3333333", "0.3333333", "0.3333334"))
    validate_submission(path, STUDIES)


def test_the_real_sample_submission_is_valid_for_its_study_and_no_other(real_dir):
    path = real_dir / "tables" / "sample_submission.csv"
    validate_submission(path, [44036939])
    with pytest.raises(SubmissionError):
        validate_submission(path, [44036940])
