from pathlib import Path

import numpy as np
import pytest

from kitlib.prepare.studies import PreparedStudies
from kitlib.terms import AXIAL_T2, SAGITTAL_T1
from tests.inputs.builders import SERIES2STACKS, make_studies


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
