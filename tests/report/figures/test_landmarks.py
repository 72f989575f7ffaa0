import pytest

from kitlib.report.figures import landmarks as figures
from tests.report.builders import drawn, make_labels, make_landmarks


@pytest.mark.parametrize("rows", [0, 1, None])
def test_every_figure_draws_without_a_warning(rows):
    labels = make_labels(4)
    landmarks = make_landmarks(labels).iloc[:rows]
    for figure in (
        figures.landmark_counts(labels, landmarks),
        figures.landmark_sides(landmarks),
        figures.landmark_instances(landmarks),
    ):
        assert drawn(figure)


def test_sides_say_their_units_and_the_share():
    texts = drawn(figures.landmark_sides(make_landmarks(make_labels(4))))
    assert "x of left - x of right (pixels)" in texts
    assert sum("100.0% above zero" in text for text in texts) == 2
