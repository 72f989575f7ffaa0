from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kitlib.mri.study import Series, Study
from kitlib.prepare.studies import PreparedStudies, study_metadata
from kitlib.prepare.volumes import VolumeCache
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SEQUENCES
from tests.inputs.builders import SERIES2STACKS, make_studies
from tests.prepare.builders import make_series, make_stack


def make_study(study_id: int, sequences: Sequence[str] = SEQUENCES) -> Study:
    series = []
    for series_id, sequence in enumerate(sequences):
        plane = "axial" if sequence == AXIAL_T2 else "sagittal"
        stacks = () if study_id == 3 else (make_stack(plane), make_stack(plane, (2, 8, 8)))
        series.append(Series(series_id, sequence, stacks))
    return Study(study_id, tuple(series))


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedStudies:
    return make_studies(tmp_path, monkeypatch)


def test_a_study_has_its_series_with_their_prepared_stacks(studies: PreparedStudies) -> None:
    study = studies.study(1)
    assert [series.series_id for series in study.series] == [10, 11, 12]
    assert [len(stack) for stack in study.stacks(AXIAL_T2)] == [5, 2]
    assert study.stacks(SAGITTAL_T1)[0].pixels.dtype == np.uint8
    assert not studies.study(2).stacks(AXIAL_T2)
    assert not studies.study(3).series


def test_some_studies_are_those_asked_for_in_that_order(studies: PreparedStudies) -> None:
    only = studies.of([1])
    assert (len(only), only.study_ids, only.keys) == (1, (1,), [(1, 10), (1, 11), (1, 12)])
    assert only.metadata.index.tolist() == [1]
    assert studies.of([1, 2]).metadata.index.tolist() == [1, 2]
    assert studies.metadata.index.tolist() == [2, 1]


def test_only_the_studies_asked_for_are_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(VolumeCache, "build", lambda _, series, **__: asked.extend(series["study_id"]))
    series = make_series(2)
    some = PreparedStudies.build(series, tmp_path, longest_px=8, study_ids=[2])
    assert set(asked) == {2}
    assert (some.study_ids, {study_id for study_id, _ in some.keys}) == ((2,), {2})
    everything = PreparedStudies.build(series, tmp_path, longest_px=8)
    assert everything.keys == list(series[["study_id", "series_id"]].itertuples(index=False, name=None))


def test_a_study_of_which_nothing_can_be_read_is_counted(studies: PreparedStudies) -> None:
    assert studies.unreadable == 0
    assert studies.of([1, 7]).unreadable == 1


def test_the_fingerprint_changes_with_an_image_and_with_what_is_said_of_one(
    studies: PreparedStudies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = make_studies(tmp_path / "again", monkeypatch)
    assert again.fingerprint == studies.fingerprint
    renamed = PreparedStudies(
        studies.study_ids, studies.series.replace(AXIAL_T2, SAGITTAL_T1), studies.volumes
    )
    assert renamed.fingerprint != studies.fingerprint
    monkeypatch.setitem(SERIES2STACKS, 10, SERIES2STACKS[21])
    assert make_studies(tmp_path / "other", monkeypatch).fingerprint != studies.fingerprint


def test_metadata_tells_what_each_sequence_has() -> None:
    table = study_metadata([make_study(2), make_study(1)])
    assert table.index.tolist() == [2, 1]
    row = table.loc[1]
    assert (row["axial_present"], row["axial_series"], row["axial_stacks"], row["axial_slices"]) == (
        1,
        1,
        2,
        7,
    )
    assert (row["t1_rows"], row["t1_columns"], row["t1_step_mm"], row["t1_covered_mm"]) == (40, 32, 4, 16)
    assert (row["t2_spacing_mm"], row["t2_view_mm"]) == (1.5, 48)
    assert (row["axial_numbering"], row["sequences"], row["axial_series_kind"]) == (
        "along",
        "t1+t2+axial",
        "1",
    )


def test_metadata_of_what_is_missing_is_unknown_not_zero() -> None:
    table = study_metadata([make_study(2, SEQUENCES[:2]), make_study(3), make_study(99, ())])
    assert table["axial_present"].tolist() == [0, 0, 0]
    assert table["axial_step_mm"].isna().all()
    assert table["sequences"].tolist() == ["t1+t2", "none", "none"]


def test_metadata_of_one_study_is_its_row_among_many() -> None:
    many = study_metadata(make_study(study_id) for study_id in (1, 2, 3))
    one = study_metadata([make_study(2)])
    assert many.loc[2].equals(one.loc[2])
    assert list(study_metadata([]).columns) == list(many.columns)
