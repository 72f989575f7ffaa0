"""Conditions change what their names say, and the crop model is invariant to how images are stored."""

from dataclasses import replace

import numpy as np
import pytest

from kitlib.evaluate.robustness import UNTOUCHED
from kitlib.inputs.cropping import cut_located, cut_study
from kitlib.inputs.crops import CropDataset, StudyCrops
from kitlib.localise.localiser import shipped_localiser
from kitlib.localise.points import Located
from kitlib.models.crop.model import CropModel
from kitlib.mri.study import Study
from kitlib.phantom.study import draw_study
from kitlib.prepare.volumes import prepare
from kitlib.run.conditions import CONDITIONS, LAYOUTS, Condition, Subject, covered_from, relaid, removed
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES

PX, SLICES = 128, 1


@pytest.fixture(scope="module")
def subject() -> Subject:
    drawn = draw_study(7, seed=1, size="smoke", missing_rate=0).study
    series = tuple(replace(one, stacks=tuple(prepare(one.stacks, PX))) for one in drawn.series)
    study = replace(drawn, series=series)
    return Subject(study, shipped_localiser().locate_study(study, fill=True))


@pytest.fixture(scope="module")
def crops(subject: Subject) -> StudyCrops:
    return cut_located(subject.study, subject.located, SLICES)


@pytest.fixture(scope="module")
def model() -> CropModel:
    return CropModel.shipped()


def said(model: CropModel, crops: StudyCrops, hidden: tuple[str, ...] = ()) -> np.ndarray:
    """Probabilities (25, 3) of a study's crops without those of some sequences."""
    data = CropDataset.of([7], [crops])
    return model.predict(data.without(np.isin(SEQUENCES, hidden)[None]))[0]


def axial_slices(study: Study) -> int:
    return sum(map(len, study.stacks(AXIAL_T2)))


def test_every_condition_has_its_name_and_the_first_changes_nothing(subject: Subject) -> None:
    names = [condition.name for condition in CONDITIONS]
    assert len(set(names)) == len(names)
    assert CONDITIONS[0].name == UNTOUCHED
    for condition in CONDITIONS:
        is_changed = condition.change(subject) is not subject.study
        assert is_changed != (condition.name == UNTOUCHED or condition.displaced_mm > 0), condition.name


@pytest.mark.parametrize("name", LAYOUTS)
def test_images_that_are_turned_are_prepared_upright(name: str, subject: Subject) -> None:
    study = relaid(name).change(subject)
    for sequence in SEQUENCES:
        for was, turned in zip(subject.study.stacks(sequence), study.stacks(sequence), strict=True):
            np.testing.assert_allclose(turned.pixels.astype(int), was.pixels, atol=1)
            np.testing.assert_allclose(turned.origins_mm, was.origins_mm, atol=1e-9)


@pytest.mark.slow
def test_landmarks_off_by_nothing_change_nothing_and_off_by_a_level_do(
    subject: Subject, crops: StudyCrops, model: CropModel
) -> None:
    def displaced(far_mm: float) -> np.ndarray:
        located = Condition("", displaced_mm=far_mm).displaced(subject)
        return said(model, cut_located(subject.study, located, SLICES))

    np.testing.assert_array_equal(displaced(0.0), said(model, crops))
    assert np.abs(displaced(20.0) - said(model, crops)).max() > 0.1


@pytest.mark.slow
def test_without_its_axial_series_a_study_is_as_if_those_crops_were_hidden(
    subject: Subject, crops: StudyCrops, model: CropModel
) -> None:
    left = cut_study(removed((AXIAL_T2,)).change(subject), shipped_localiser(), SLICES)
    np.testing.assert_array_equal(said(model, left), said(model, crops, (AXIAL_T2,)))
    assert np.abs(said(model, left) - said(model, crops)).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("gone", [(SAGITTAL_T1,), (SAGITTAL_T1, AXIAL_T2)])
def test_without_sequences_none_of_their_views_is_shown(
    gone: tuple[str, ...], subject: Subject, crops: StudyCrops
) -> None:
    study = removed(gone).change(subject)
    assert study.sequences == tuple(sequence for sequence in SEQUENCES if sequence not in gone)
    left = CropDataset.of([7], [cut_study(study, shipped_localiser(), SLICES)])
    hidden = CropDataset.of([7], [crops]).without(np.isin(SEQUENCES, gone)[None])
    np.testing.assert_array_equal(left.shown, hidden.shown)


def test_upper_levels_are_uncovered_down_to_the_one_that_is_named(subject: Subject) -> None:
    from_l3, from_l4 = (covered_from(level).change(subject) for level in ("l3_l4", "l4_l5"))
    assert 0 < axial_slices(from_l4) < axial_slices(from_l3) < axial_slices(subject.study)
    highest_mm = max(stack.centres_mm[:, 2].max() for stack in from_l4.stacks(AXIAL_T2))
    assert highest_mm < subject.canal_mm["l3_l4"][2]
    assert len(from_l4.stacks(SAGITTAL_T2)[0]) == len(subject.study.stacks(SAGITTAL_T2)[0])


def test_a_study_whose_levels_nobody_knows_keeps_its_axial_slices(subject: Subject) -> None:
    lost = Subject(subject.study, Located((), True))
    assert covered_from("l4_l5").change(lost) is subject.study
