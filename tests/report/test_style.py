import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from kitlib.report.style import (
    STYLE,
    empty_figure,
    matrix,
    new_figure,
    said_by,
    save_figure,
    severity2colour,
    severity_rgb,
    styled,
)
from kitlib.terms import SEVERITIES
from tests.report.builders import drawn


def lightness(colour):
    red, green, blue = mpl.colors.to_rgb(colour)
    return 0.3 * red + 0.59 * green + 0.11 * blue


def test_severities_grow_darker_so_that_colour_is_not_needed_to_tell_them():
    normal, moderate, severe = (lightness(severity2colour[name]) for name in SEVERITIES)
    assert normal > moderate + 0.1 > severe + 0.2


def test_the_style_holds_inside_a_drawing_function_and_nowhere_else():
    before = mpl.rcParams["font.size"]

    @styled
    def size_inside():
        return mpl.rcParams["font.size"]

    assert size_inside() == STYLE["font.size"]
    assert mpl.rcParams["font.size"] == before


def test_no_figure_is_left_with_pyplot():
    from matplotlib import pyplot

    new_figure(3, 2, "title")
    assert pyplot.get_fignums() == []


def test_an_empty_figure_says_why():
    assert drawn(empty_figure("no labels")) == ["no labels"]


def test_a_saved_figure_is_a_png_comes_back_and_leaves_no_draft(tmp_path):
    figure = new_figure(3, 2)
    assert save_figure(figure, tmp_path / "figures" / "one.png") is figure
    assert image.imread(tmp_path / "figures" / "one.png").shape == (220, 330, 4)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["one.png"]


def test_a_saved_figure_says_in_words_what_it_shows(tmp_path):
    figure = new_figure(3, 2, "Loss,\nby level")
    for axes in figure.subplots(1, 2):
        axes.set(xlabel="level", ylabel="loss (±, nats)")
    save_figure(figure, tmp_path / "one.png")
    assert said_by(tmp_path / "one.png") == "Loss, by level; level; loss (±, nats)"
    untitled = new_figure(3, 2)
    for axes, title in zip(untitled.subplots(1, 2), ("left", "right")):
        axes.set_title(title, loc="left")
    save_figure(untitled, tmp_path / "two.png")
    assert said_by(tmp_path / "two.png") == "left; right"
    (tmp_path / "of_before.png").write_bytes(figure._repr_png_())
    assert said_by(tmp_path / "of_before.png") == "of before"


def test_the_colour_of_chances_goes_from_white_to_that_of_a_severity():
    certain = severity_rgb(np.eye(3))
    assert severity_rgb(np.zeros(3)).tolist() == pytest.approx([255 * 0.55] * 3)
    assert severity_rgb(np.full((5, 5, 3), 1 / 3)).shape == (5, 5, 3)
    np.testing.assert_allclose(severity_rgb(np.full(3, 1 / 3)), certain.mean(axis=0))


def test_a_matrix_writes_its_values_legibly_and_leaves_nan_blank():
    axes = new_figure(3, 2).add_subplot()
    matrix(axes, pd.DataFrame([[0.0, 1.0], [np.nan, 0.5]], ["a", "b"], ["c", "d"]), ".1f")
    assert [(text.get_text(), text.get_color()) for text in axes.texts] == [
        ("0.0", "black"),
        ("1.0", "white"),
        ("", "black"),
        ("0.5", "black"),
    ]
