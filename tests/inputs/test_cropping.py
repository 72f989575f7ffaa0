"""Cutting crops: a study gives the same alone and among many, and cached crops are reused."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from kitlib.competition.root import find_root
from kitlib.inputs.base import Resources
from kitlib.inputs.cropping import cut_located, cut_study
from kitlib.inputs.crops import UNSEEN, CropInput
from kitlib.localise.localiser import Localiser, shipped_localiser
from kitlib.localise.points import Located, prior_points
from kitlib.machine import CORES, environment
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.study import Study
from kitlib.phantom.archive import write_competition
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.prepare.studies import PreparedStudies
from kitlib.prepare.views import MARGIN_PX, SLOTS, slot2sequence
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES, Landmark, row_ids


@pytest.fixture(scope="module")
def phantom() -> PhantomStudy:
    return draw_study(7, seed=1, size="smoke", missing_rate=0)


def test_views_are_cut_around_the_places_where_they_are(phantom: PhantomStudy) -> None:
    crops = cut_study(phantom.study, shipped_localiser(), 3)
    assert crops.images.shape == (len(SLOTS), 3, MARGIN_PX, MARGIN_PX)
    assert crops.shown.all()
    assert not crops.faults
    assert crops.counted == 1
    marks = phantom.landmarks.set_index(["condition", "level"])
    for slot, point_mm in zip(SLOTS, crops.points_mm):
        true_mm = marks.loc[tuple(CELLS[slot.cell]), ["x_mm", "y_mm", "z_mm"]].to_numpy(float)
        assert np.linalg.norm(point_mm - true_mm) < 8


def test_a_sequence_that_is_missing_has_no_view(phantom: PhantomStudy) -> None:
    crops = cut_study(phantom.study.without([SAGITTAL_T1]), shipped_localiser(), 1)
    is_t1 = slot2sequence == SEQUENCES.index(SAGITTAL_T1)
    assert not crops.shown[is_t1].any()
    assert crops.shown[~is_t1].all()
    assert np.isnan(crops.points_mm[is_t1]).all()
    assert not crops.images[is_t1].any()


def test_rows_whose_place_no_slice_of_their_sequence_shows_are_told(phantom: PhantomStudy) -> None:
    """Whole blocks of slices may be missing or never planned, and the rest has no gap."""
    highest_mm = phantom.landmarks.set_index("level")["z_mm"]["l4_l5"].max()
    series = []
    for one in phantom.study.series:
        if one.sequence == AXIAL_T2:
            are_low = [(stack, stack.centres_mm[:, 2] < highest_mm) for stack in one.stacks]
            one = replace(one, stacks=tuple(stack.slices(low) for stack, low in are_low if low.any()))
        series.append(one)
    study = replace(phantom.study, series=tuple(series))
    (fault,) = cut_study(study, shipped_localiser(), 1).faults
    assert fault.code == UNSEEN
    high = {row for row in row_ids(7) if "subarticular" in row and row[-5:] in ("l1_l2", "l2_l3", "l3_l4")}
    assert high <= {*fault.row_ids} <= {row for row in row_ids(7) if "subarticular" in row}
    assert cut_study(phantom.study, shipped_localiser(), 1).faults == ()


def test_series_that_are_called_by_each_others_contrast_are_doubted(phantom: PhantomStudy) -> None:
    """If no tag identifies the contrast, as in the competition, whose headers have no times."""
    other = {SAGITTAL_T1: SAGITTAL_T2, SAGITTAL_T2: SAGITTAL_T1}
    series = [
        replace(one, sequence=other.get(one.sequence or "", one.sequence)) for one in phantom.study.series
    ]
    study = replace(phantom.study, series=tuple(series))
    faults = cut_study(study, shipped_localiser(), 1).faults
    reported = {fault.series_id for fault in faults if fault.code == "series.contradicted" and fault.doubts}
    assert reported == {one.series_id for one in series if one.sequence in other}


def test_a_series_without_the_canal_that_another_shows_is_doubted(phantom: PhantomStudy) -> None:
    series = []
    for one in phantom.study.series:
        if one.sequence == SAGITTAL_T2:  # lying on its side, which no tag records
            turned = (
                replace(stack, pixels=np.ascontiguousarray(np.rot90(stack.pixels, axes=(1, 2))))
                for stack in one.stacks
            )
            one = replace(one, stacks=tuple(turned))
        series.append(one)
    crops = cut_study(replace(phantom.study, series=tuple(series)), shipped_localiser(), 1)
    (looks,) = (fault for fault in crops.faults if fault.code == "series.looks")
    assert looks.doubts
    assert looks.row_ids == ()
    assert looks.series_id == next(one.series_id for one in series if one.sequence == SAGITTAL_T2)


def test_where_nobody_finds_the_level_crops_are_where_it_usually_is_and_say_so(phantom: PhantomStudy) -> None:
    axial = phantom.study.without([SAGITTAL_T1, SAGITTAL_T2])
    crops = cut_study(axial, shipped_localiser(), 1)
    assert crops.shown.any()
    assert (crops.confidences == 0).all()
    assert crops.counted == 0
    assert {fault.code for fault in crops.faults} == {"landmarks.abstained", "landmarks.prior"}
    assert all(fault.row_ids == tuple(row_ids(7)) for fault in crops.faults)


def test_a_doubtful_count_is_as_sure_as_the_localiser_is(phantom: PhantomStudy) -> None:
    located = Located((), True, "in doubt", confidence=0.4)
    assert cut_located(phantom.study, located, 1).counted == 0.4
    assert cut_located(phantom.study, replace(located, abstained=False, reason=None), 1).counted == 1


class LosingLocaliser:
    """A localiser that finds all but one foramen."""

    def locate_study(self, study: Study, ledger: Ledger, *, fill: bool) -> Located:
        lost = Landmark("foramen", "l4_l5", "left")
        located = shipped_localiser().locate_study(study)
        found = [point for point in located.points if point.landmark != lost]
        ledger.add(Fault("landmarks.prior", "set where they usually are", study.study_id))
        return replace(located, points=(*found, *(prior_points(study, found) if fill else ())))


def test_a_place_that_is_not_found_names_its_row(phantom: PhantomStudy) -> None:
    (fault,) = cut_study(phantom.study, cast(Localiser, LosingLocaliser()), 1).faults
    assert fault.row_ids == ("7_left_neural_foraminal_narrowing_l4_l5",)


def test_one_study_and_many_give_the_same_and_files_are_used_again(tmp_path: Path) -> None:
    root = write_competition(tmp_path / "set", studies=2, seed=6, size="smoke", missing_rate=0)
    studies = PreparedStudies.build(find_root(root).series("train"), tmp_path / "volumes", longest_px=128)
    encoder = CropInput(longest_px=128).encoder(Resources())
    data = encoder.dataset(studies, tmp_path / "store")
    files = {file: file.stat().st_mtime_ns for file in (tmp_path / "store").rglob("*.npy")}
    assert len(files) == 2
    for row, study_id in enumerate(studies.study_ids):
        ledger = Ledger()
        with environment(**{CORES: "1"}):  # as in a worker: in 32 bits, two threads sum in another order
            alone = encoder.encode(studies.study(study_id), ledger)
        assert tuple(ledger) == data.crops[row].faults
        assert alone.counted.tolist() == [data.counted[row]]
        for part in ("images", "present", "points_mm", "confidences"):
            np.testing.assert_array_equal(getattr(alone.crops[0], part), getattr(data.crops[row], part))
    again = encoder.dataset(studies, tmp_path / "store")
    assert again.fingerprint == data.fingerprint
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "store").rglob("*.npy")} == files
