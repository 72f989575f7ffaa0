"""Find images of another study or patient by their identifiers, which are compared and never shown."""

from collections import Counter
from collections.abc import Sequence


def strangers(owners: Sequence[tuple[str, ...]]) -> tuple[list[bool], bool]:
    """Mark the images or series of another study or patient than most; also whether this is undecided.

    `owners` are their study and patient identifiers, "" where unknown. An identifier is trusted if more than
    half agree on it. If each has its own, as some anonymisers leave them, they tell nothing. A second session
    of the majority's patient is a study of its own, but not a stranger's.

    >>> strangers([("1.1", "A"), ("1.1", "A"), ("1.2", "B")])
    ([False, False, True], False)
    >>> strangers([("1.1", "A"), ("1.1", "A"), ("1.2", "A")])
    ([False, False, False], False)
    >>> strangers([("1.1", ""), ("1.2", ""), ("1.3", "")])
    ([False, False, False], False)
    """
    studies, patients = zip(*owners) if owners else ((), ())
    study, study_is_open = _believed(studies)
    patient, patient_is_open = _believed(patients)
    is_odd = [
        whose != patient if whose and patient else bool(which and study) and which != study
        for which, whose in owners
    ]
    return is_odd, patient_is_open or (study_is_open and not patient)


def _believed(identifiers: Sequence[str]) -> tuple[str, bool]:
    """The identifier shared by more than half of those known, else ""; and whether several compete."""
    counts = Counter(filter(None, identifiers))
    if not counts:
        return "", False
    usual, most = counts.most_common(1)[0]
    return (usual, False) if 2 * most > counts.total() else ("", most > 1)
