"""The four tables: valid ones round-trip, and invalid ones are refused with the location of the error."""

import gzip
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitlib.competition import tables
from kitlib.competition.tables import UNDESCRIBED
from kitlib.errors import TableError
from kitlib.mri.ledger import Ledger
from kitlib.terms import CELL_NAMES, CONDITIONS, EMPTY, LEVELS, SEQUENCES, row_ids
from tests.competition.builders import landmarks_csv, make_labels, make_predictions, series_csv, train_csv
from tests.properties import derandomised

IDENTIFIED, UNKNOWN = tables.IDENTIFIED_OTHERWISE, "it is called by none of the competition's words"
LEFT_OUT = "line left out", "line 2 is the first that names no study and series"
READERS = {
    "train.csv": (tables.read_train_labels, train_csv(make_labels(3))),
    "series.csv": (tables.read_series_descriptions, series_csv({7: [71, 72], 8: [81]})),
    "landmarks.csv": (tables.read_landmarks, landmarks_csv()),
    "sample.csv": (tables.read_predictions, make_predictions([7]).to_csv()),
}


@pytest.fixture(params=READERS)
def table(request, tmp_path):
    """Each of the four tables: its reader, a path to write to, and its valid text."""
    reader, text = READERS[request.param]
    return reader, tmp_path / request.param, text


def refused(reader, path, content):
    """The message with which the reader refuses the content; it names the file and gives a hint."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TableError) as caught:
        reader(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return caught.value.what


def test_train_labels_come_back_as_codes_sorted_by_study(tmp_path):
    labels = make_labels(30)
    (tmp_path / "train.csv").write_text(train_csv(labels.sample(frac=1, random_state=0)))
    read = tables.read_train_labels(tmp_path / "train.csv")
    pd.testing.assert_frame_equal(read, labels)
    assert set(read.dtypes) == {np.dtype(np.int8)}
    assert (read == EMPTY).any(axis=None)


def test_series_and_landmarks_speak_the_kits_words(tmp_path):
    for name in ("series.csv", "landmarks.csv"):
        (tmp_path / name).write_text(READERS[name][1])
    series = tables.read_series_descriptions(tmp_path / "series.csv")
    assert series.columns.tolist() == ["study_id", "series_id", "sequence"]
    assert series["sequence"].tolist() == [SEQUENCES[0], SEQUENCES[1], SEQUENCES[0]]
    landmarks = tables.read_landmarks(tmp_path / "landmarks.csv")
    assert landmarks["condition"].unique().tolist() == [CONDITIONS[0]]
    assert landmarks["level"].tolist() == list(LEVELS)
    assert landmarks["x"].dtype == np.float64
    assert landmarks["instance_number"].dtype == np.int64


def test_same_table_packed_or_from_a_spreadsheet_or_in_other_column_order(table):
    reader, path, text = table
    path.write_text(text)
    expected = reader(path)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(text.encode()))
    pd.testing.assert_frame_equal(reader(packed), expected)
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n")
    pd.testing.assert_frame_equal(reader(path), expected)
    pd.read_csv(packed, dtype=str).iloc[:, ::-1].to_csv(path, index=False)
    pd.testing.assert_frame_equal(reader(path)[expected.columns], expected)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not a text in UTF-8"),
        ("version https://git-lfs.github.com/spec/v1\noid 1\n", "missing columns"),
        ("<html>\n<body>", "missing columns"),
        ('"study_id,\n', "is not CSV"),
        ("x" * 200_000, "is not CSV"),
    ],
)
def test_what_is_no_such_table_is_refused(table, content, what):
    reader, path, _ = table
    if reader is tables.read_series_descriptions:  # line by line
        what = what.replace("is not CSV", "missing columns").replace("not a text in UTF-8", "missing columns")
    assert what in refused(reader, path, content)


def test_missing_surplus_and_repeated_columns_are_named(table):
    reader, path, text = table
    columns = text.splitlines()[0].split(",")
    missing = refused(reader, path, text.replace(columns[1], "other", 1))
    assert f"missing columns '{columns[1]}'" in missing
    is_exact = reader is not tables.read_series_descriptions
    assert missing.endswith("; 1 surplus or repeated columns") == is_exact
    doubled = "\n".join(f"{line},{line.split(',')[-1]}" for line in text.splitlines())
    assert "2 surplus or repeated columns" in refused(reader, path, doubled)
    if not is_exact:
        return
    indexed = "\n".join(f"{row or ''},{line}" for row, line in enumerate(text.splitlines()))
    assert refused(reader, path, indexed) == "1 surplus or repeated columns"


def test_ragged_repeated_and_absent_rows_are_refused(table):
    reader, path, text = table
    header, first, *rest = text.splitlines()
    assert "a header and no row" in refused(reader, path, header + "\n")
    if reader is tables.read_series_descriptions:
        return
    short = "\n".join([header, *rest, first.rpartition(",")[0]])
    assert f"line {len(rest) + 2} has" in refused(reader, path, short)
    if reader is not tables.read_landmarks:
        again = refused(reader, path, "\n".join([header, first, *rest, first]))
        assert f"stands in line 2 and again in line {len(rest) + 3}" in again


@pytest.mark.parametrize("bad", ["", "12.0", "1e9", "-3", "abc", " 7", "٣", "9" * 19])
def test_an_id_is_a_whole_number_as_the_folders_are_named(tmp_path, bad):
    reader, text = READERS["train.csv"]
    header, first, *rest = text.splitlines()
    changed = "\n".join([header, *rest, f"{bad},{first.partition(',')[2]}"])
    what = refused(reader, tmp_path / "table.csv", changed)
    assert what == f"study_id is {'unfit' if bad else 'empty'} in line {len(rest) + 2}"


def test_an_id_may_have_zeros_before_it(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text(train_csv(make_labels(3)))
    expected = tables.read_train_labels(path)
    path.write_text(path.read_text().replace("\n", "\n00", 3))
    pd.testing.assert_frame_equal(tables.read_train_labels(path), expected)


@pytest.mark.parametrize(
    ("lines", "sequences", "faults"),
    [
        (["7,71,Axial T2"], ["Axial T2"], []),
        (["7,71,Axial T2", "", " , ,", "  "], ["Axial T2"], []),
        ([" 7 ,\t071,  Axial T2 "], ["Axial T2"], []),
        (["7,71,Axial T2"] * 3, ["Axial T2"], [("read once", "lines repeat each other")]),
        (["7,71,Axial T2", "7,71,Sagittal T1"], [UNDESCRIBED], [(IDENTIFIED, "lines contradict each other")]),
        (["7,71,Axial T2", "7,71,"], [UNDESCRIBED], [(IDENTIFIED, "lines contradict each other")]),
        (["7,71,axial"], [UNDESCRIBED], [(IDENTIFIED, UNKNOWN)]),
        (["7,71,"], [UNDESCRIBED], [(IDENTIFIED, UNKNOWN)]),
        (["7,71"], [UNDESCRIBED], [(IDENTIFIED, UNKNOWN)]),
        (["7,71,Axial T2, fat saturated"], [UNDESCRIBED], [(IDENTIFIED, UNKNOWN)]),
        (["7"], [], [LEFT_OUT]),
        (["../x,71,Axial T2"], [], [LEFT_OUT]),
        (["-7,71,Axial T2"], [], [LEFT_OUT]),
        ([f"{'9' * 19},71,Axial T2"], [], [LEFT_OUT]),
        (["7,7.1e1,Axial T2"], [], [LEFT_OUT]),
        (['7,"71,Axial T2'], [], [LEFT_OUT]),
        (["7,71\0,Axial T2"], [], [LEFT_OUT]),
    ],
)
def test_a_line_on_a_series_costs_that_series_at_most(tmp_path, lines, sequences, faults):
    path, ledger = tmp_path / "series.csv", Ledger()
    path.write_text("\n".join(["study_id,series_id ,series_description", *lines, "8,81,Sagittal T1"]))
    series = tables.read_series_descriptions(path, ledger)
    assert series["sequence"].tolist() == [*sequences, "Sagittal T1"]
    assert series["study_id"].tolist() == [*[7] * len(sequences), 8]
    assert [(fault.action, fault.detail) for fault in ledger] == faults
    assert tables.read_series_descriptions(path).equals(series)


ODD = ["", " , ,", "7,71", '"', "9,91,Axial T2", "-1,2,x,y"]
JUNK = st.lists(st.one_of(st.text(), st.sampled_from(ODD)), max_size=4)


@derandomised
@given(before=JUNK, between=JUNK, after=JUNK)
def test_whatever_lines_stand_around_them_lines_say_what_they_say(tmp_path_factory, before, between, after):
    path = tmp_path_factory.getbasetemp() / "series.csv"
    header, first, second = series_csv({101: [111], 202: [222]}).splitlines()
    lines = [header, *before, first, *between, second, *after]
    path.write_bytes("\n".join(lines).encode(errors="replace"))
    read = tables.read_series_descriptions(path, Ledger()).set_index("study_id")["sequence"]
    assert read[[101, 202]].tolist() == [SEQUENCES[0], SEQUENCES[0]]


def test_of_a_sample_only_the_studies_are_read(tmp_path):
    path, ledger = tmp_path / "sample.csv", Ledger()
    path.write_text("row_id,normal_mild,moderate,severe\n" + "".join(f"{row}\n" for row in row_ids(9)))
    assert tables.read_studies(path, ledger) == [9]
    with open(path, "a") as file:
        file.write(f"7_{CELL_NAMES[0]},high,,nan\n-7_{CELL_NAMES[0]},1,0,0\n9_hip,1,0,0\n")
    assert tables.read_studies(path, ledger) == [9, 7]
    (fault,) = ledger
    assert fault.detail == "line 28 of the sample is the first that names no study and cell"


def test_millions_of_lines_or_columns_of_junk_are_told_in_a_line_and_cost_little(tmp_path):
    path, ledger = tmp_path / "series.csv", Ledger()
    path.write_text(series_csv({7: [71, 72]}) + "junk\n" * 50_000 + "8,\n" * 50_000)
    assert len(tables.read_series_descriptions(path, ledger)) == 2
    assert [(fault.study_id, fault.detail.split()[:2]) for fault in ledger] == [
        (None, ["line", "4"]),
        (8, ["line", "50004"]),
    ]
    path.write_text(",".join(["study_id"] * 100_000) + "\n1\n")
    started_s = time.process_time()
    with pytest.raises(TableError, match="100000 surplus or repeated"):
        tables.read_series_descriptions(path)
    assert time.process_time() - started_s < 5  # and not a minute


@pytest.mark.parametrize(
    "saved",
    [
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "\t").encode("utf-16"),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: "\n".join(f"{row},{line}" for row, line in enumerate(text.splitlines())).encode(),
        lambda text: "\n".join(f"{line},,x" for line in text.splitlines()).encode(),
        lambda text: (text + text.splitlines()[0]).encode(),
    ],
    ids=["utf-16", "utf-16 be", "semicolons", "tabs", "cr", "index", "columns beside", "header again"],
)
def test_what_lists_studies_and_series_may_have_been_through_a_spreadsheet(tmp_path, saved):
    path, text = tmp_path / "table.csv", series_csv({101: [111, 112], 202: [222]})
    path.write_text(text)
    expected = tables.read_series_descriptions(path)
    path.write_bytes(saved(text))
    assert tables.read_series_descriptions(path).equals(expected)
    path.write_bytes(saved(make_predictions([7, 8]).to_csv()))
    assert tables.read_studies(path, Ledger()) == [7, 8]


def test_of_a_sample_the_rows_alone_are_needed(tmp_path):
    (path := tmp_path / "sample.csv").write_text("row_id\n" + "\n".join(row_ids(9)))
    assert tables.read_studies(path, Ledger()) == [9]


def test_zeros_before_the_numbers_of_a_sample_are_told(tmp_path):
    path, ledger = tmp_path / "sample.csv", Ledger()
    lines = [f"{study}_spinal_canal_stenosis_{level},1,0,0" for study in ("007", "8") for level in LEVELS]
    path.write_text("\n".join(["row_id,normal_mild,moderate,severe", *lines]))
    assert tables.read_studies(path, ledger) == [7, 8]
    assert [(fault.code, fault.action, fault.study_id) for fault in ledger] == [
        ("table.line", "rows written without them", 7)
    ]


@pytest.mark.parametrize(
    ("name", "old", "new", "what"),
    [
        ("train.csv", "Normal/Mild", "Mild", "is unfit in line"),
        ("train.csv", "Normal/Mild", "nan", "is unfit in line"),
        ("landmarks.csv", "Canal Stenosis", "Stenosis", "condition is unfit in line 2"),
        ("landmarks.csv", "L2/L3", "L2/L4", "level is unfit in line 3"),
        ("landmarks.csv", "10.5", "nan", "x is unfit in line 2"),
        ("landmarks.csv", "10.5", "", "x is empty in line 2"),
        ("landmarks.csv", ",8,", ",8.5,", "instance_number is unfit in line 2"),
        ("sample.csv", "7_spinal", "7_final", "row_id is unfit in line 2"),
    ],
)
def test_unknown_words_and_numbers_are_named_with_their_line(tmp_path, name, old, new, what):
    reader, text = READERS[name]
    assert what in refused(reader, tmp_path / name, text.replace(old, new, 1))


def test_a_table_too_large_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_TABLE_BYTES", 2**20)
    path = tmp_path / "train.csv.gz"
    assert "larger than 1 MB" in refused(tables.read_train_labels, path, gzip.compress(bytes(2**21)))


def test_a_missing_or_damaged_file_is_a_table_error(tmp_path):
    with pytest.raises(TableError, match="missing"):
        tables.read_train_labels(tmp_path / "train.csv")
    path = tmp_path / "train.csv.gz"
    whole = gzip.compress(READERS["train.csv"][1].encode())
    assert "cannot be read" in refused(tables.read_train_labels, path, whole[:-9])
    assert "cannot be read" in refused(tables.read_train_labels, path, b"study_id")


def test_real_tables_have_the_counts_of_the_facts(real_dir):
    folder = real_dir / "tables"
    labels = tables.read_train_labels(folder / "train.csv")
    assert labels.shape == (1975, 25)
    assert int((labels != EMPTY).to_numpy().sum()) == 48_803
    assert labels.columns.tolist() == list(CELL_NAMES)
    series = tables.read_series_descriptions(folder / "train_series_descriptions.csv")
    assert series["sequence"].value_counts().to_dict() == dict(zip(SEQUENCES, (1980, 1974, 2340)))
    assert len(tables.read_landmarks(folder / "train_label_coordinates.csv.gz")) == 48_692
    assert len(tables.read_predictions(folder / "sample_submission.csv")) == 25
