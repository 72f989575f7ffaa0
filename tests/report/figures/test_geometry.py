import numpy as np
import pytest

from kitlib.report.figures import geometry
from kitlib.terms import AXIAL_T2, SAGITTAL_T2
from tests.report.builders import drawn, make_stack


@pytest.mark.parametrize("slices", [1, 4, 15])
def test_an_order_is_drawn_with_its_units(slices):
    stack = make_stack(slices)
    order = np.argsort(np.array(stack.files))
    texts = drawn(geometry.slice_order(stack, order, "By file name"))
    assert "position along\nthe normal (mm)" in texts
    line = geometry.slice_order(stack, order, "").findobj(
        lambda artist: artist.__class__.__name__ == "Line2D"
    )
    assert any(np.array_equal(one.get_ydata(), stack.positions_mm[order]) for one in line)


def test_an_empty_order_says_so():
    assert drawn(geometry.slice_order(make_stack(), [], "")) == ["no slices"]


def test_stacks_are_drawn_in_both_views():
    texts = drawn(
        geometry.stack_positions(
            [(SAGITTAL_T2, make_stack()), (AXIAL_T2, make_stack(3, sequence=AXIAL_T2))], "A study"
        )
    )
    assert {"seen from the side", "seen from the front", AXIAL_T2, "foot to head, z (mm)"} <= set(texts)
    assert drawn(geometry.stack_positions([], "A study")) == ["no stack to place"]
