"""The sequence of an undescribed series, from tags and planes."""

from dataclasses import replace

import numpy as np
import pytest

from kitlib.mri.dicom.tags import Tags
from kitlib.mri.naming import identified_by_tags, in_plane, main_plane
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2
from tests.mri.test_study import make_stack

T1_TIMES = {"repetition_ms": 600.0, "echo_ms": 12.0}
T2_TIMES = {"repetition_ms": 3500.0, "echo_ms": 100.0}


@pytest.mark.parametrize(
    ("tags", "plane", "sequence"),
    [
        (Tags(**T1_TIMES), "sagittal", SAGITTAL_T1),
        (Tags(**T2_TIMES), "sagittal", SAGITTAL_T2),
        (Tags(**T2_TIMES), "axial", AXIAL_T2),
        (Tags(echo_ms=60), "sagittal", SAGITTAL_T2),  # the shortest echo of T2
        (Tags(repetition_ms=1300, echo_ms=30), "sagittal", SAGITTAL_T1),  # the longest of T1
        (Tags(repetition_ms=4000, echo_ms=40, inversion_ms=160), "sagittal", SAGITTAL_T2),  # STIR
        (Tags(repetition_ms=2000, echo_ms=20, inversion_ms=860), "sagittal", SAGITTAL_T1),  # T1 FLAIR
        (Tags(words="sag t1 tse"), "sagittal", SAGITTAL_T1),
        (Tags(words="t1w"), "sagittal", SAGITTAL_T1),
        (Tags(words="t2 tse sag"), "sagittal", SAGITTAL_T2),
        (Tags(words="sag stir"), "sagittal", SAGITTAL_T2),
        (Tags(words="ax t2 l1 s1"), "axial", AXIAL_T2),
        (Tags(words="t1 sag without contrast"), "sagittal", SAGITTAL_T1),
        (Tags(words="t2 sag", has_agent=True), "sagittal", SAGITTAL_T2),
    ],
)
def test_times_and_words_tell(tags, plane, sequence):
    assert identified_by_tags(tags, plane).sequence == sequence


@pytest.mark.parametrize(
    "tags",
    [
        Tags(),
        Tags(words="l spine t12 s1"),  # a vertebra
        Tags(words="t1 and t2"),
        Tags(repetition_ms=600, echo_ms=5, is_gradient_echo=True),
        Tags(repetition_ms=3000, echo_ms=40),  # between T1, T2 and proton density
        Tags(words="t1 sag", **T2_TIMES),  # what contradicts itself
        Tags(words="t2 sag", **T1_TIMES),
    ],
)
def test_where_tags_do_not_tell_or_contradict_each_other_nothing_is_told(tags):
    assert identified_by_tags(tags, "sagittal") is None


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        (Tags(kinds=frozenset({"ORIGINAL", "PRIMARY", "LOCALIZER"}), **T2_TIMES), "scout"),
        (Tags(words="3 plane loc", **T2_TIMES), "scout"),
        (Tags(words="survey"), "scout"),
        (Tags(is_diffusion=True, **T2_TIMES), "diffusion"),
        (Tags(words="sag dwi b800"), "diffusion"),
        (Tags(kinds=frozenset({"DERIVED", "SECONDARY", "ADC"})), "diffusion"),
        (Tags(words="mr myelogram t2"), "projection"),
        (Tags(kinds=frozenset({"DERIVED", "SECONDARY", "MIP"})), "projection"),
        (Tags(kinds=frozenset({"DERIVED", "PRIMARY", "SUBTRACTION"})), "computed"),
        (Tags(has_agent=True, **T1_TIMES), "contrast agent"),
        (Tags(words="sag t1 post gd"), "contrast agent"),
    ],
)
def test_what_is_certainly_something_else_is_left_out(tags, why):
    found = identified_by_tags(tags, "sagittal")
    assert found.sequence is None
    assert why in found.why


def test_an_axial_t1_is_no_sequence_that_is_read():
    found = identified_by_tags(Tags(**T1_TIMES), "axial")
    assert found.sequence is None
    assert found.why == "axial T1 by its echo and repetition times"


def turned(stack, degrees):
    """The stack, tilted about the patient's right-left axis."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return replace(
        stack,
        origins_mm=stack.origins_mm @ turn.T,
        row_direction=turn @ stack.row_direction,
        column_direction=turn @ stack.column_direction,
    )


def test_a_series_lies_in_the_plane_of_most_of_its_slices():
    sagittal, axial = make_stack("sagittal"), make_stack("axial", count=4)
    assert main_plane([axial, sagittal]) == ("sagittal", None)
    assert main_plane([axial]) == ("axial", None)
    plane, found = main_plane([turned(axial, -90)])
    assert plane == "coronal"
    assert found.sequence is None
    _, scout = main_plane([make_stack("sagittal", count=3), make_stack("axial", count=3)])
    assert "scout" in scout.why


def test_slices_through_a_steep_sacrum_lie_as_axial_ones_do():
    axial = make_stack("axial")
    steep, coronal, sagittal = turned(axial, -48), turned(axial, -80), make_stack("sagittal")
    kept, (one, other) = in_plane([axial, coronal, steep, sagittal], AXIAL_T2)
    assert kept == [axial, steep]
    assert one.detail == f"coronal slices in a series of {AXIAL_T2}"
    assert (other.code, other.action) == ("series.plane", "slices left out")
    assert in_plane([axial, sagittal], SAGITTAL_T2)[0] == [sagittal]
    assert in_plane([axial, sagittal], None) == ([axial, sagittal], [])
