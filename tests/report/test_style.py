import matplotlib as mpl
from matplotlib import image

from kitlib.report.style import LOOK, empty_figure, look, new_figure, save_figure, severity2colour
from kitlib.terms import SEVERITIES
from tests.report.builders import drawn


def lightness(colour):
    red, green, blue = mpl.colors.to_rgb(colour)
    return 0.3 * red + 0.59 * green + 0.11 * blue


def test_severities_grow_darker_so_that_colour_is_not_needed_to_tell_them():
    normal, moderate, severe = (lightness(severity2colour[name]) for name in SEVERITIES)
    assert normal > moderate + 0.1 > severe + 0.2


def test_the_look_holds_inside_a_drawing_function_and_nowhere_else():
    before = mpl.rcParams["font.size"]

    @look
    def size_inside():
        return mpl.rcParams["font.size"]

    assert size_inside() == LOOK["font.size"]
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
