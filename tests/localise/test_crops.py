"""Crops of studies: cut from the right sequence, kept, remade when something changed, and faults told."""

import dataclasses
import pickle

import numpy as np
import pytest

from kitlib.competition.root import find_root
from kitlib.errors import ArtefactError
from kitlib.localise.crops import CropCache, study_crops
from kitlib.localise.localiser import Localiser
from kitlib.mri.ledger import Ledger
from kitlib.phantom.archive import write_competition
from kitlib.prepare.studies import PreparedStudies
from kitlib.terms import AXIAL_T2, LANDMARKS, LEVELS, SAGITTAL_T1, SAGITTAL_T2
from tests.localise.fakes import (
    NETWORKS,
    fake_reader,
    make_axial,
    make_canal,
    make_places,
    make_sagittal,
    make_study,
)

CANAL = make_canal()
STACKS = {1: [make_sagittal()], 2: [make_sagittal(count=13)], 3: [make_axial(CANAL)]}
SEQUENCES = {1: SAGITTAL_T1, 2: SAGITTAL_T2, 3: AXIAL_T2}
STUDY = make_study(STACKS, SEQUENCES, study_id=5)
GRADED = {one for one in LANDMARKS if one.level in LEVELS}


def located(**options):
    return Localiser(NETWORKS, read=fake_reader(make_places(CANAL))).locate_study(STUDY, **options)


def test_every_graded_place_is_cut_from_the_sequence_it_is_graded_on():
    grey = {
        key: [dataclasses.replace(stack, pixels=np.full(stack.pixels.shape, key, np.uint8))]
        for key, (stack,) in STACKS.items()
    }
    crops = study_crops(make_study(grey, SEQUENCES), located(), Ledger())
    assert {crop.landmark for crop in crops} == GRADED
    shown = {(crop.landmark.place, int(crop.pixels.max())) for crop in crops}
    assert shown == {("foramen", 1), ("canal", 2), ("recess", 3)}
    assert all(len(crop.stack) == 5 for crop in crops)


def test_crops_hold_their_place_and_are_turned_with_the_level():
    found = located()
    places = {point.landmark: point.patient_mm for point in found.points}
    crops = study_crops(STUDY, found, Ledger(), slices=7)
    for crop in crops:
        col, row, _ = crop.stack.to_pixel(places[crop.landmark])
        _, height, width = crop.stack.pixels.shape
        assert (col, row) == pytest.approx(((width - 1) / 2, (height - 1) / 2), abs=1e-6)
    canal = {crop.landmark.level: crop for crop in crops if crop.landmark.place == "canal"}
    ways = {tuple(crop.stack.column_direction.round(3)) for crop in canal.values()}
    assert len(ways) > 1


def test_a_missing_sequence_is_replaced_by_its_plane_and_a_missing_plane_is_told():
    without = STUDY.without([SAGITTAL_T1, AXIAL_T2])
    ledger = Ledger()
    found = located(fill=True)
    crops = study_crops(without, found, ledger)
    assert {crop.landmark for crop in crops} == {one for one in GRADED if one.place != "recess"}
    (fault,) = ledger
    assert (fault.code, fault.study_id) == ("crop.missing", 5)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    root = write_competition(folder / "set", studies=1, seed=6, size="smoke", missing_rate=0)
    return PreparedStudies.build(find_root(root).series("train"), folder / "volumes", longest_px=128)


def test_a_cache_is_made_once_the_same_by_a_worker_and_remade_for_another_size(phantoms, tmp_path):
    (study_id,) = phantoms.study_ids
    cache = CropCache(tmp_path, phantoms)
    with pytest.raises(ArtefactError):
        cache.crops(study_id)
    first = cache.build().table()
    made = (tmp_path / f"{study_id}.npy").stat().st_mtime_ns
    again = cache.build().table()
    assert (tmp_path / f"{study_id}.npy").stat().st_mtime_ns == made
    assert again.equals(first)
    assert {crop.landmark for crop in cache.crops(study_id)} <= GRADED
    assert set(cache.guessed(study_id)) <= GRADED
    assert bool(cache.guessed(study_id)) == ("landmarks.prior" in set(first["code"]))
    pickle.loads(pickle.dumps(CropCache(tmp_path / "sent", phantoms)._of(study_id)._make))(study_id)
    for ours, theirs in zip(cache.crops(study_id), CropCache(tmp_path / "sent", phantoms).crops(study_id)):
        assert ours.landmark == theirs.landmark
        assert np.array_equal(ours.stack.pixels, theirs.stack.pixels)
    CropCache(tmp_path, phantoms, slices=7).build()
    assert {len(crop.stack) for crop in cache.crops(study_id)} == {7}
