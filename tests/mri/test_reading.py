"""Reading a study: each series' sequence and patient, and what is left out or in doubt."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.mri.ledger import Ledger
from kitlib.mri.reading import read_study
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2
from tests.mri.builders import AXIAL, CORONAL, make_series, make_slice_dataset, write


@pytest.fixture
def rows(tmp_path) -> pd.DataFrame:
    """Two sagittal series and two axial ones on disk, all described."""
    for name, options in {"1": {}, "2": {}, "3": {"orientation": AXIAL}, "4": {"orientation": AXIAL}}.items():
        make_series(tmp_path / name, count=3, **options)
    return pd.DataFrame(
        {
            "series_id": [1, 2, 3, 4],
            "sequence": [SAGITTAL_T1, SAGITTAL_T2, AXIAL_T2, AXIAL_T2],
            "folder": [str(tmp_path / name) for name in "1234"],
        }
    )


def names(study: Study) -> dict[int, str | None]:
    return {series.series_id: series.sequence for series in study.series}


def codes(ledger: Ledger) -> list[str]:
    return [fault.code for fault in ledger]


def test_a_study_that_is_described_is_read_as_its_series_are(rows: pd.DataFrame) -> None:
    ledger = Ledger()
    study = read_study(7, rows, ledger)
    assert len(ledger) == 0
    assert names(study) == dict(zip(rows["series_id"], rows["sequence"]))
    for series, folder in zip(study.series, rows["folder"]):
        for ours, theirs in zip(series.stacks, read_series(folder, Ledger()), strict=True):
            np.testing.assert_array_equal(ours.pixels, theirs.pixels)
            assert ours.geometry() == theirs.geometry()


@pytest.mark.parametrize(("unnamed", "sequence"), [(0, SAGITTAL_T1), (1, SAGITTAL_T2)])
def test_an_undescribed_series_has_the_sequence_that_its_plane_lacks(rows, unnamed, sequence) -> None:
    ledger = Ledger()
    rows.loc[unnamed, "sequence"] = "not described"
    study = read_study(7, rows, ledger)
    assert study.series[unnamed].sequence == sequence
    (fault,) = ledger
    assert (fault.code, fault.action) == ("series.undescribed", f"taken as {sequence}")
    assert (fault.study_id, fault.series_id) == (7, unnamed + 1)


def test_where_the_plane_leaves_a_choice_or_none_a_series_stays_unnamed(rows) -> None:
    ledger = Ledger()
    study = read_study(7, rows.assign(sequence=[None, None, AXIAL_T2, "not described"]), ledger)
    assert names(study) == {1: None, 2: None, 3: AXIAL_T2, 4: None}
    assert codes(ledger) == ["series.undescribed"] * 3 + ["study.sequence"] * 2
    assert [fault.action for fault in ledger][:3] == ["left out"] * 3


def test_the_order_of_rows_is_the_order_of_series_and_nothing_else(rows) -> None:
    rows.loc[1, "sequence"] = "not described"
    rows = pd.concat([rows, pd.DataFrame([{"series_id": 5, "sequence": AXIAL_T2, "folder": "absent"}])])
    ledgers = [Ledger(), Ledger()]
    ours = read_study(7, rows, ledgers[0])
    theirs = read_study(7, rows.sample(frac=1, random_state=3), ledgers[1])
    assert names(ours) == names(theirs)
    assert set(ledgers[0]) == set(ledgers[1])
    for series in ours.series:
        (same,) = (other for other in theirs.series if other.series_id == series.series_id)
        assert [stack.geometry() for stack in series.stacks] == [stack.geometry() for stack in same.stacks]


def test_what_cannot_be_read_is_an_empty_series_and_faults_name_it(rows) -> None:
    ledger = Ledger()
    rows.loc[0, "folder"] = "absent"
    study = read_study(7, rows, ledger)
    assert study.series[0].stacks == ()
    assert study.sequences == (SAGITTAL_T2, AXIAL_T2)
    missing, lacking = ledger
    assert (missing.code, missing.study_id, missing.series_id) == ("series.missing", 7, 1)
    assert (lacking.code, len(lacking.row_ids)) == ("study.sequence", 10)


def test_no_rows_are_a_study_of_nothing(rows) -> None:
    ledger = Ledger()
    assert read_study(7, rows.iloc[:0], ledger).series == ()
    assert codes(ledger) == ["study.sequence"] * 3


def test_each_series_is_prepared_before_the_next_is_read(rows) -> None:
    seen: list[int] = []

    def first_only(stacks: list[Stack]) -> list[Stack]:
        seen.append(len(stacks))
        return stacks[:0]

    ledger = Ledger()
    study = read_study(7, rows, ledger, prepare=first_only)
    assert seen == [1, 1, 1, 1]
    assert study.sequences == ()
    assert codes(ledger) == ["study.sequence"] * 3


def test_a_series_that_is_described_as_another_plane_is_left_out(rows) -> None:
    ledger = Ledger()
    study = read_study(7, rows.assign(sequence=[AXIAL_T2, SAGITTAL_T2, SAGITTAL_T1, AXIAL_T2]), ledger)
    assert study.sequences == (SAGITTAL_T2, AXIAL_T2)
    assert [len(series.stacks) for series in study.series] == [0, 1, 0, 1]
    assert [(fault.code, fault.series_id, fault.detail) for fault in ledger][:2] == [
        ("series.plane", 1, f"sagittal slices in a series of {AXIAL_T2}"),
        ("series.plane", 3, f"axial slices in a series of {SAGITTAL_T1}"),
    ]


def test_scouts_in_a_series_are_no_part_of_its_sequence(rows) -> None:
    make_series(Path(rows.loc[1, "folder"]), count=9, orientation=CORONAL, first_number=200)
    for sequence in (SAGITTAL_T2, None):
        ledger = Ledger()
        study = read_study(7, rows.assign(sequence=[SAGITTAL_T1, sequence, AXIAL_T2, AXIAL_T2]), ledger)
        assert [stack.plane for stack in study.stacks(SAGITTAL_T2)] == (["sagittal"] if sequence else [])
        assert codes(ledger)[0] == ("series.plane" if sequence else "series.undescribed")


def test_what_scouts_say_of_themselves_is_not_said_of_the_series(rows) -> None:
    folder = Path(rows.loc[1, "folder"])
    make_series(folder, count=9, orientation=CORONAL, first_number=200, ImageType=["ORIGINAL", "LOCALIZER"])
    ledger = Ledger()
    read_study(7, rows, ledger)
    assert codes(ledger) == ["series.plane"]


def test_tags_tell_before_planes_do(tmp_path) -> None:
    times = {"T1": (600, 12), "T2": (3500, 100)}
    for name, (repetition, echo) in times.items():
        make_series(tmp_path / name, count=3, RepetitionTime=repetition, EchoTime=echo)
    make_series(tmp_path / "scout", count=3, SeriesDescription="loc")
    rows = pd.DataFrame(
        {"series_id": [1, 2, 3], "folder": [str(tmp_path / name) for name in (*times, "scout")]}
    )
    ledger = Ledger()
    study = read_study(
        7, rows.assign(sequence=None), ledger, identify=lambda _: pytest.fail("tags have identified them")
    )
    assert names(study) == {1: SAGITTAL_T1, 2: SAGITTAL_T2, 3: None}
    assert [series.stacks == () for series in study.series] == [False, False, True]
    assert [(fault.action, fault.detail) for fault in ledger][:3] == [
        (f"taken as {SAGITTAL_T1}", "by its echo and repetition times"),
        (f"taken as {SAGITTAL_T2}", "by its echo and repetition times"),
        ("left out", "a scout"),
    ]


def test_pixels_tell_what_tags_do_not_and_the_plane_the_rest(rows) -> None:
    asked: list[dict[int, str | None]] = []

    def identify(study: Study) -> dict[int, str]:
        asked.append(names(study))
        return {2: SAGITTAL_T1, 4: SAGITTAL_T1}  # series 4 is known already

    ledger = Ledger()
    study = read_study(7, rows.assign(sequence=[None, None, None, AXIAL_T2]), ledger, identify=identify)
    assert asked == [{1: None, 2: None, 3: None, 4: AXIAL_T2}]
    assert names(study) == {1: SAGITTAL_T2, 2: SAGITTAL_T1, 3: None, 4: AXIAL_T2}
    assert [fault.detail for fault in ledger] == [
        "the only sequence of its plane that no other series has",
        "by its pixels",
        "neither tags nor pixels nor its plane identify its sequence",
    ]


def test_a_description_that_tags_contradict_is_believed_and_told(tmp_path) -> None:
    late, early = {"EchoTime": 100, "RepetitionTime": 4000}, {"EchoTime": 10, "RepetitionTime": 600}
    table = []
    for number, (sequence, times) in enumerate(
        [(SAGITTAL_T1, late), (SAGITTAL_T2, late), (SAGITTAL_T1, early)]
    ):
        folder = make_series(tmp_path / str(number), count=3, **times)
        table.append({"series_id": number, "sequence": sequence, "folder": str(folder)})
    ledger = Ledger()
    study = read_study(7, pd.DataFrame(table), ledger)
    assert [series.sequence for series in study.series] == [SAGITTAL_T1, SAGITTAL_T2, SAGITTAL_T1]
    reported = [fault for fault in ledger if fault.code == "series.contradicted"]
    assert [(fault.series_id, fault.doubts) for fault in reported] == [(0, True)]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "PatientID"])
def test_a_series_of_another_patient_is_left_out(tmp_path, keyword) -> None:
    owners = {"1": "SECRET.1", "2": "SECRET.2", "3": "SECRET.1"}
    plans = zip(owners.items(), (SAGITTAL_T1, SAGITTAL_T2, AXIAL_T2), ({}, {}, {"orientation": AXIAL}))
    table = []
    for (name, owner), sequence, options in plans:
        folder = make_series(tmp_path / name, count=3, **{keyword: owner}, **options)
        table.append({"series_id": int(name), "sequence": sequence, "folder": str(folder)})
    # The file that is read is one of the stack, not the first in the folder.
    write(tmp_path / "1" / "0.dcm", make_slice_dataset(number=99, **{keyword: "SECRET.2"}))
    ledger = Ledger()
    study = read_study(7, pd.DataFrame(table), ledger)
    assert study.sequences == (SAGITTAL_T1, AXIAL_T2)
    assert [(fault.code, fault.series_id, fault.file) for fault in ledger][:2] == [
        ("slice.stranger", 1, "0.dcm"),
        ("series.stranger", 2, ""),
    ]
    assert "SECRET" not in str(list(ledger))


@pytest.mark.parametrize(
    ("owners", "reported"),
    [("1111", []), ("1234", []), ("1122", ["study.strangers"]), ("1112", ["series.stranger"])],
)
def test_identifiers_decide_where_most_series_agree_and_never_where_each_has_its_own(
    tmp_path, owners, reported
) -> None:
    table = []
    for number, owner in enumerate(owners):
        options = {"orientation": AXIAL, "first": (0, 0, 20 * number), "StudyInstanceUID": f"1.{owner}"}
        folder = make_series(tmp_path / str(number), count=3, **options)
        table.append({"series_id": number, "sequence": AXIAL_T2, "folder": str(folder)})
    ledger = Ledger()
    study = read_study(7, pd.DataFrame(table), ledger)
    assert [code for code in codes(ledger) if "stranger" in code] == reported
    assert len(study.stacks(AXIAL_T2)) == (3 if "series.stranger" in reported else 4)


def test_a_series_of_hardly_any_slices_is_kept_and_told(rows) -> None:
    for file in ("1.dcm", "2.dcm"):
        (Path(rows.loc[1, "folder"]) / file).unlink()
    ledger = Ledger()
    assert len(read_study(7, rows, ledger).sequences) == 3
    assert [(fault.code, fault.series_id, fault.detail) for fault in ledger] == [
        ("series.few_slices", 2, "1 in all")
    ]
