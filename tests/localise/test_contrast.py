"""T1 and T2 identified by pixels alone, on every kind of phantom."""

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from kitlib.localise.contrast import canal_brightness, contradicted_by_canal, identified_by_canal
from kitlib.localise.localiser import Localiser
from kitlib.localise.sources import NO_ID, array_study
from kitlib.localise.spine import Spine
from kitlib.mri.study import Series, Study
from kitlib.phantom.study import draw_study
from kitlib.terms import AXIAL_T2, LEVELS, SAGITTAL_T1, SAGITTAL_T2
from tests.localise.fakes import make_axial, make_canal, make_sagittal

CANAL = make_canal()
FOUND = Spine(np.array(list(CANAL.values())), np.ones(7), 4.0)


@pytest.fixture(scope="module")
def localiser():
    return Localiser.shipped()


def painted(stack, canal, front):
    """The stack with a canal of one grey value behind vertebrae of another."""
    height, width = stack.pixels.shape[1:]
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.empty_like(stack.pixels)
    for index, image in enumerate(pixels):
        _, back, up = np.moveaxis(stack.to_patient(columns, rows, index), -1, 0)
        heights = [CANAL[level][2] for level in reversed(LEVELS)]
        middle = np.interp(up, heights, [CANAL[level][1] for level in reversed(LEVELS)])
        image[...] = np.where(back > middle - 8, canal, front)
    return replace(stack, pixels=pixels)


def blind(study):
    return Study(study.study_id, tuple(Series(one.series_id, None, one.stacks) for one in study.series))


@pytest.mark.slow
@pytest.mark.parametrize("study_id", range(1, 13))
def test_phantoms_are_told_by_their_pixels(study_id, localiser):
    study = draw_study(study_id, seed=5, size="smoke", missing_rate=0).study
    found = identified_by_canal(blind(study), localiser.spine_of)
    assert found == {series.series_id: series.sequence for series in study.series}


def test_a_bright_canal_is_t2_and_a_dark_one_t1():
    t1, t2 = (painted(make_sagittal(), *greys) for greys in ((40, 100), (200, 100)))
    study = Study(7, (Series(1, None, (t1,)), Series(2, None, (t2,)), Series(3, SAGITTAL_T1, (t2,))))
    assert identified_by_canal(study, lambda _: FOUND) == {1: SAGITTAL_T1, 2: SAGITTAL_T2}
    assert canal_brightness(study.series[0], CANAL) == pytest.approx(0.4)


@pytest.mark.parametrize("canal", [40, 96, 104, 200])
def test_a_description_is_contradicted_where_pixels_plainly_say_the_other(canal):
    stack = painted(make_sagittal(), canal, 100)
    study = Study(
        7, (Series(1, SAGITTAL_T1, (stack,)), Series(2, SAGITTAL_T2, (stack,)), Series(3, None, (stack,)))
    )
    assert contradicted_by_canal(study, CANAL) == {40: [2], 200: [1]}.get(canal, [])
    assert contradicted_by_canal(study, {}) == []


def test_an_axial_series_is_told_where_it_is_a_t2():
    t1, t2 = (painted(make_axial(CANAL), *greys) for greys in ((40, 100), (200, 100)))
    study = Study(7, (Series(1, None, (t1,)), Series(2, None, (t2,))))
    assert identified_by_canal(study, lambda _: FOUND) == {2: AXIAL_T2}


def test_what_shows_too_little_of_the_spine_is_not_told():
    beside = make_sagittal(count=3, middle=(90.0, 0.0, 10.0))
    below = make_sagittal(middle=(3.0, 0.0, -900.0))
    dark = make_sagittal()
    several = (Series(number, None, (stack,)) for number, stack in enumerate((beside, below, dark)))
    assert identified_by_canal(Study(7, (*several, Series(9, None, ()))), lambda _: FOUND) == {}
    assert np.isnan(canal_brightness(Series(1, None, (dark,)), {"l1_l2": CANAL["l1_l2"]}))


def test_without_a_canal_nothing_is_told():
    study = Study(7, (Series(1, None, (painted(make_sagittal(), 200, 100),)),))
    assert identified_by_canal(study, lambda _: None) == {}


@pytest.mark.slow
def test_mid_sagittal_slices_of_patients_are_told(real_dir, localiser):
    """Every twelfth of 383 images, of which all but three are identified correctly."""
    folder = real_dir / "midsagittal_open"
    images = pd.read_csv(folder / "discs.csv").drop_duplicates("image").iloc[::12]
    found = []
    for image, spacing_mm in images[["image", "spacing_mm"]].itertuples(index=False):
        pixels = cv2.imread(str(folder / image), cv2.IMREAD_GRAYSCALE)
        found.append(identified_by_canal(array_study(pixels, spacing_mm), localiser.spine_of).get(NO_ID, ""))
    right = [name.startswith(truth) for name, truth in zip(found, images["sequence"])]
    assert len(right) == 32
    assert sum(right) >= 31
