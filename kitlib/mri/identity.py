"""Whose images these are, as identifiers tell, which are compared and never shown."""

from collections import Counter
from collections.abc import Sequence


def strangers(owners: Sequence[tuple[str, ...]]) -> tuple[list[bool], bool]:
    """Which of several images or series are another's than most are, and whether that is undecided.

    `owners` are their identifiers, of the study and of the patient, "" where unknown. One is believed where
    more than half agree in it. Where each has its own, as some anonymisers leave them, they tell nothing.

    >>> strangers([("1.1", "A"), ("1.1", "A"), ("1.2", "A")])
    ([False, False, True], False)
    >>> strangers([("1.1", ""), ("1.2", ""), ("1.3", "")])
    ([False, False, False], False)
    """
    is_odd, is_undecided = [False] * len(owners), False
    for identifiers in zip(*owners):
        counts = Counter(filter(None, identifiers))
        if len(counts) < 2:
            continue
        usual, most = counts.most_common(1)[0]
        if 2 * most > counts.total():
            is_odd = [odd or name not in ("", usual) for odd, name in zip(is_odd, identifiers)]
        elif most > 1:
            is_undecided = True
    return is_odd, is_undecided
