from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from kitlib.errors import DataError
from kitlib.mri.study import Series, Study
from kitlib.phantom.statistics import compare
from kitlib.report.figures import phantom as phantom_figures
from kitlib.report.figures.phantom import CANAL, CLOSE_UPS, GRADES, PLANES, sequence2real
from kitlib.terms import CELLS, SEQUENCES
from tests.report.builders import drawn, make_labels, make_stack

PLACE_MM = (2.0, 3.0, -4.0)


def make_study(study_id: int = 7) -> SimpleNamespace:
    """The parts of a PhantomStudy that figures need: random pixels, and all landmarks at PLACE_MM."""
    series = tuple(
        Series(number, name, (make_stack(sequence=name),)) for number, name in enumerate(SEQUENCES)
    )
    rows = [(*cell, *PLACE_MM) for cell in CELLS]
    landmarks = pd.DataFrame(rows, columns=["condition", "level", "x_mm", "y_mm", "z_mm"])
    return SimpleNamespace(study_id=study_id, study=Study(study_id, series), landmarks=landmarks)


def test_the_place_of_a_cell_is_its_landmark():
    study = make_study()
    assert phantom_figures.place_of(study, CANAL).tolist() == list(PLACE_MM)
    study.landmarks = study.landmarks.iloc[:0]
    with pytest.raises(DataError, match="no landmark of spinal_canal_stenosis_l4_l5"):
        phantom_figures.place_of(study, CANAL)


def test_planes_have_a_row_for_each_phantom_and_a_bar_in_each_panel():
    figure = phantom_figures.planes([make_study(7), make_study(8)])
    texts = drawn(figure)
    for study_id in (7, 8):
        assert {f"Phantom {study_id}, {title}" for title, _, _ in PLANES} <= set(texts)
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["50 mm"] * 6


def test_a_bar_is_as_long_as_it_says_in_pixels_of_the_slice():
    figure = phantom_figures.planes([make_study()])
    (bar,) = figure.axes[0].lines
    assert np.ptp(bar.get_xdata()) * 0.6 == pytest.approx(50)  # 0.6 mm between columns


@pytest.mark.parametrize("close_up", CLOSE_UPS, ids=lambda close_up: close_up.title)
def test_crops_are_squares_around_the_place(close_up):
    study = make_study()
    figure = phantom_figures.severities(close_up, [[study] * len(GRADES)])
    stack = study.study.nearest(close_up.sequence, np.array(PLACE_MM)).stack
    col, row, _ = stack.to_pixel(PLACE_MM)
    rows_mm, columns_mm = stack.spacing_mm
    assert len(figure.axes) == len(GRADES)
    for axes in figure.axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert (right - left) * columns_mm == pytest.approx(close_up.crop_mm)
        assert (bottom - top) * rows_mm == pytest.approx(close_up.crop_mm)
        assert ((left + right) / 2, (bottom + top) / 2) == pytest.approx((col, row))
    assert "Phantom 7, Severe (grade 2.6)" in drawn(figure)


def test_a_row_of_severities_has_one_window():
    studies = [make_study() for _ in GRADES]
    for study, gain in zip(studies, (1, 2, 4)):
        study.study.series[1].stacks[0].pixels[:] *= gain
    close_up = next(close_up for close_up in CLOSE_UPS if close_up.sequence == SEQUENCES[1])
    windows = [axes.images[0].get_clim() for axes in phantom_figures.severities(close_up, [studies]).axes]
    pixels = studies[0].study.series[1].stacks[0].pixels
    assert len(set(windows)) == 1
    assert pixels.min() <= windows[0][0] < windows[0][1] <= pixels.max()


def test_real_slices_are_turned_upright_and_named_as_real(tmp_path):
    pixels = np.repeat(np.arange(30, dtype=np.uint8), 20).reshape(30, 20)
    (sequence, real), *_ = sequence2real.items()
    for name, _ in real[:2]:
        cv2.imwrite(str(tmp_path / name), pixels)
    found = phantom_figures.read_real(tmp_path)
    assert list(found) == [sequence]
    assert [patient.name for patient in found[sequence]] == [name for name, _ in real[:2]]
    assert np.array_equal(found[sequence][0].pixels, pixels[::-1])
    texts = drawn(phantom_figures.beside_real(sequence, found[sequence], [make_study()]))
    assert {f"REAL, {name}" for name, _ in real[:2]} | {"Phantom 7"} <= set(texts)


def test_phantoms_and_patients_have_the_same_window(tmp_path):
    (sequence, ((name, _), *_)), *_ = sequence2real.items()
    cv2.imwrite(str(tmp_path / name), np.random.default_rng(0).integers(0, 256, (30, 20), dtype=np.uint8))
    figure = phantom_figures.beside_real(
        sequence, phantom_figures.read_real(tmp_path)[sequence], [make_study()]
    )
    for axes in figure.axes:
        (image,) = axes.images
        expected = np.percentile(image.get_array().data, phantom_figures.REAL_PERCENTILES)
        assert image.get_clim() == pytest.approx(tuple(expected))


def test_a_broken_real_slice_is_named(tmp_path):
    name, _ = next(iter(sequence2real.values()))[0]
    (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(DataError, match=name):
        phantom_figures.read_real(tmp_path)
    assert phantom_figures.read_real(tmp_path / "absent") == {}


def test_correlations_have_a_panel_only_where_there_are_real_ones():
    codes = make_labels(40).to_numpy()
    with_real = drawn(phantom_figures.drawn_against_real(compare(codes, codes)))
    without = drawn(phantom_figures.drawn_against_real(compare(codes)))
    assert {"left-right", "neighbours", "empty"} <= set(with_real)
    assert {"prevalence", "any severe"} <= set(without)
    assert "left-right" not in without
