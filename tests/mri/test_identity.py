"""Patient identity of images: the odd ones out, and identifiers that carry no information."""

import pytest

from kitlib.mri.identity import strangers


@pytest.mark.parametrize(
    ("studies", "odd", "undecided"),
    [
        ("AAB", "  x", False),
        ("BAA", "x  ", False),
        ("AAAA", "    ", False),
        ("A--B", "    ", False),  # each that has one has its own
        ("ABC", "   ", False),  # each has its own
        ("AB", "  ", False),
        ("AABB", "    ", True),
        ("AABC", "    ", True),
        ("AAABC", "   xx", False),
        ("A-A-B", "    x", False),  # one without an identifier belongs to nobody
        ("", "", False),
    ],
)
def test_one_is_odd_where_more_than_half_of_the_others_agree(studies, odd, undecided):
    owners = [(name.strip("-"), "") for name in studies]
    expected = [mark == "x" for mark in odd]
    assert strangers(owners) == (expected, undecided)
    assert strangers([(patient, study) for study, patient in owners]) == (expected, undecided)


def test_a_patient_is_believed_before_a_study():
    """A second session of the same patient is a separate study."""
    owners = [("A", "P"), ("A", "P"), ("A", "P"), ("A", "Q"), ("B", "P"), ("B", "")]
    assert strangers(owners) == ([False, False, False, True, False, True], False)
    assert strangers([("A", "P"), ("A", "P"), ("B", "P"), ("B", "P")]) == ([False] * 4, False)
