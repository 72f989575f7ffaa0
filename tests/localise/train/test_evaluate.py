import numpy as np
import pytest

from kitlib.localise.localiser import Localiser
from kitlib.localise.points import Located, Point
from kitlib.localise.train.evaluate import (
    case_errors,
    phantom_case,
    phantom_errors,
    reliability,
    robustness,
    study_errors,
    summary,
)
from kitlib.localise.train.perturb import STRENGTHS, Case, perturbed
from kitlib.phantom.study import draw_study
from kitlib.terms import Cell, Landmark, group2place
from tests.localise.fakes import NETWORKS, fake_reader, make_canal, make_places, make_sagittal


@pytest.fixture(scope="module")
def study():
    return draw_study(3, seed=4, size="smoke", missing_rate=0)


def true_points(study, shift_mm=(0.0, 0, 0), confidence=0.99):
    return tuple(
        Point(
            Landmark(group2place[cell.group], cell.level, cell.side),
            int(row.series_id),
            int(row.instance_number),
            row.x,
            row.y,
            np.array([row.x_mm, row.y_mm, row.z_mm]) + shift_mm,
            confidence,
        )
        for row in study.landmarks.itertuples()
        if (cell := Cell(row.condition, row.level))
    )


def test_the_truth_has_no_errors(study):
    errors = study_errors(study, Located(true_points(study), False))
    assert len(errors) == len(study.landmarks)
    assert errors["kept"].all()
    assert errors["level_right"].eq(True).all()
    assert errors[["error_mm", "error_3d_mm", "slices_off"]].to_numpy().max() < 1e-9


def test_errors_are_told_by_plane_and_level(study):
    aside = study_errors(study, Located(true_points(study, (3.0, 0, 0)), False))
    canal = aside[aside["landmark"] == "canal"]
    assert canal["error_mm"].max() < 1
    np.testing.assert_allclose(canal["error_3d_mm"].astype(float), 3)
    lower = study_errors(study, Located(true_points(study, (0, 0, -30.0)), False))
    assert not lower["level_right"].eq(True).any()


def test_an_abstention_keeps_nothing(study):
    errors = study_errors(study, Located(true_points(study), True, "unsure"))
    assert errors["found"].all()
    assert not errors["kept"].any()
    table = summary(errors).set_index("landmark")
    assert table.loc["canal", "kept"] == 0
    assert table.loc["canal", "level_right_found"] == 1
    nothing = study_errors(study, Located((), True, "unsure"))
    assert not nothing["found"].any()
    assert summary(nothing)["median_mm"].isna().all()


def test_phantoms_are_drawn_and_located():
    blind = Localiser(NETWORKS, read=fake_reader({}))
    errors = phantom_errors(blind, [5], seed=1, size="smoke")
    assert not errors["found"].any()
    assert phantom_errors(blind, [], seed=1).empty


def test_reliability_bins_all_points(study):
    points = true_points(study, confidence=0.9)
    table = reliability(study_errors(study, Located(points, False)), bins=3)
    assert table["count"].sum() == len(points)
    np.testing.assert_allclose(table["confidence"], 0.9)
    np.testing.assert_allclose(table["level_right"], 1)


def case_of(stack, canal) -> Case:
    level2xy = {level: stack.to_pixel(place)[:2] for level, place in canal.items()}
    pixels = np.random.default_rng(0).random(stack.pixels.shape[1:])
    return Case("made", pixels, stack.spacing_mm, level2xy)


def test_a_case_is_measured_in_millimetres():
    stack, canal = make_sagittal(count=1), make_canal()
    places = {one: place - stack.origins_mm[0] for one, place in make_places(canal).items()}
    sees = Localiser(NETWORKS, read=fake_reader(places))
    errors = case_errors(sees, case_of(stack, canal))
    assert errors["level_right"].eq(True).all()
    assert errors["error_mm"].max() < 0.6
    table = robustness(sees, [case_of(stack, canal)], np.random.default_rng(1), ("gamma", "inversion"))
    assert table["level_right"].eq(1).all()
    assert len(table) == len(STRENGTHS["gamma"]) + len(STRENGTHS["inversion"])


def test_the_phantom_slice_holds_its_points(study):
    case = phantom_case(study)
    for x, y in case.level2xy.values():
        assert 0 <= x < case.image.shape[1]
        assert 0 <= y < case.image.shape[0]


@pytest.mark.parametrize("name", STRENGTHS)
def test_images_get_worse_and_points_stay_on_them(name):
    image = np.zeros((120, 100))
    image[40:44, 60:64], image[80:84, 50:54] = 1000, 800
    points = {"l1_l2": np.array([61.5, 41.5]), "l5_s1": np.array([51.5, 81.5])}
    case = Case("made", image, (1.0, 1.2), points)
    for strength in STRENGTHS[name]:
        worse = perturbed(case, name, strength, np.random.default_rng(2))
        assert worse.image.shape == image.shape
        assert np.isfinite(worse.image).all()
        if name == "rotation":
            for xy in worse.level2xy.values():
                col, row = np.round(xy).astype(int)
                assert worse.image[row, col] > 0.5
            length = np.subtract(worse.level2xy["l1_l2"], worse.level2xy["l5_s1"]) * [1.2, 1.0]
            np.testing.assert_allclose(np.linalg.norm(length), np.hypot(12, 40))
        else:
            assert worse.level2xy is points


def test_what_lies_below_a_crop_is_gone():
    case = Case("made", np.ones((100, 50)) * np.arange(50), (2.0, 2.0), {"l5_s1": np.array([20.0, 50.0])})
    cropped = perturbed(case, "cropped", 20.0, np.random.default_rng(0)).image
    assert (cropped[61:] == 0).all()
    assert cropped[60].any()
