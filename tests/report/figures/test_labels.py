import pytest

from kitlib.report.figures import labels as figures
from kitlib.terms import SEVERITIES
from tests.report.builders import drawn, make_labels

DRAWERS = (
    figures.prevalence,
    figures.correlation,
    figures.pair_correlations,
    figures.side_level_correlations,
)


@pytest.mark.parametrize("draw", DRAWERS)
@pytest.mark.parametrize("studies", [0, 1, 3, 30])
def test_every_figure_draws_without_a_warning(draw, studies):
    assert drawn(draw(make_labels(studies)))


def test_prevalence_names_every_severity_and_its_axis():
    texts = drawn(figures.prevalence(make_labels()))
    assert {*SEVERITIES, "empty", "share of studies (%)", "L4/L5"} <= set(texts)


def test_a_table_of_one_severity_has_no_correlation_and_still_draws():
    assert drawn(figures.pair_correlations(make_labels(5, empty=0) * 0))
