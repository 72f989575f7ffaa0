import numpy as np

from kitlib.phantom.body import vertebrae
from kitlib.phantom.body.vertebrae import ANCHOR, GRADED, LUMBOSACRAL, VERTEBRAE, disc_of
from kitlib.terms import LEVELS


def test_every_measure_is_given_for_every_vertebra() -> None:
    measures = [value for name, value in vars(vertebrae).items() if name.endswith(("_MM", "_DEG", "TAPER"))]
    assert len(measures) == 8
    assert {len(values) for values in measures} == {len(VERTEBRAE)}


def test_a_graded_disc_lies_on_the_vertebra_that_its_level_names_last() -> None:
    below = [VERTEBRAE[index] for index in GRADED]
    assert below == [level.split("_")[1].upper() for level in LEVELS]
    assert disc_of("l5_s1") == LUMBOSACRAL
    assert VERTEBRAE[ANCHOR] == "L3"


def test_lumbar_bodies_are_wider_than_deep_and_deeper_than_high() -> None:
    lumbar = slice(VERTEBRAE.index("L5"), VERTEBRAE.index("L1") + 1)
    width, depth, height = (
        measure[lumbar] for measure in (vertebrae.WIDTH_MM, vertebrae.DEPTH_MM, vertebrae.HEIGHT_MM)
    )
    assert (width > depth).all()
    assert (depth > height).all()
    assert (np.diff(vertebrae.PEDICLE_MM) <= 0).all()  # ever nearer to the midline, from below
