"""Altered studies: in what they show, or only in how they are stored."""

import numpy as np
import pytest

from kitlib.mri.study import Series, Study
from kitlib.prepare.altered import relaid_study, without_axial_above, worse_study
from kitlib.prepare.volumes import prepare
from kitlib.terms import AXIAL_T2, SAGITTAL_T2
from tests.prepare.builders import make_stack

SAGITTAL, AXIAL = (make_stack(plane) for plane in ("sagittal", "axial"))
STUDY = Study(
    7,
    (
        Series(1, SAGITTAL_T2, tuple(prepare([SAGITTAL], 64))),
        Series(2, AXIAL_T2, tuple(prepare([AXIAL], 64))),
    ),
)
TURNED = {"swapped": True, "flip_columns": True}


def stacks(study: Study) -> list:
    return [stack for series in study.series for stack in series.stacks]


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize("how", [TURNED, {"flip_rows": True}, {"swapped": True}])
def test_a_study_is_made_worse_in_the_patient_however_it_is_stored(how: dict[str, bool]) -> None:
    laid_out = Study(7, tuple(Series(1, AXIAL_T2, (stack.laid_out(**how),)) for stack in stacks(STUDY)))
    first = [stack.laid_out(**how) for stack in stacks(worse_study(STUDY, "bias", 1.2, rng()))]
    second = stacks(worse_study(laid_out, "bias", 1.2, rng()))
    for one, other in zip(first, second, strict=True):
        assert one.geometry() == other.geometry()
        np.testing.assert_allclose(one.pixels.astype(int), other.pixels, atol=1)


@pytest.mark.parametrize("how", [TURNED, {"flip_rows": True}, {"swapped": True}])
def test_a_study_that_was_stored_otherwise_is_prepared_as_any_other(how: dict[str, bool]) -> None:
    for was, relaid in zip(stacks(STUDY), stacks(relaid_study(STUDY, **how)), strict=True):
        np.testing.assert_array_equal(relaid.pixels, was.pixels)
        np.testing.assert_allclose(relaid.origins_mm, was.origins_mm, atol=1e-9)


def test_bias_brightens_the_back_of_sagittal_and_of_axial_slices() -> None:
    sagittal, axial = stacks(worse_study(STUDY, "bias", 1.2, rng()))
    assert sagittal.pixels[:, :, -8:].mean() > 2 * sagittal.pixels[:, :, :8].mean()
    assert axial.pixels[:, -8:].mean() > 2 * axial.pixels[:, :8].mean()
    assert sagittal.pixels.dtype == axial.pixels.dtype == np.uint8


def test_noise_differs_from_slice_to_slice_and_the_study_itself_stays() -> None:
    before = [stack.pixels.copy() for stack in stacks(STUDY)]
    noisy = stacks(worse_study(STUDY, "noise", 0.2, rng()))
    for stack, was in zip(noisy, before, strict=True):
        added = stack.pixels.astype(int) - was
        assert np.abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.5
        assert np.abs(added).mean() > 5
    for stack, was in zip(stacks(STUDY), before, strict=True):
        np.testing.assert_array_equal(stack.pixels, was)


def test_axial_slices_above_a_place_are_gone_and_no_others() -> None:
    kept = without_axial_above(STUDY, AXIAL.centres_mm[2] + [0, 0, 0.5])
    assert [len(stack) for stack in stacks(kept)] == [5, 3]
    np.testing.assert_array_equal(stacks(kept)[1].pixels, stacks(STUDY)[1].pixels[:3])
    below_all = without_axial_above(STUDY, AXIAL.centres_mm[0] - [0, 0, 1])
    assert below_all.sequences == (SAGITTAL_T2,)
