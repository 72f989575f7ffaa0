"""Which damages come to which studies: each alone at three doses, in pairs, and in storms."""

import random
from collections.abc import Collection, Iterator
from math import ceil

from kitlib.faults.judge import Case
from kitlib.faults.registry import Damage

SHARES = (0.0, 0.1, 1 / 3)  # of the studies; at least one
OTHERS = 2  # untouched studies beside those that are touched
PAIRS, STORMS = 3, 3  # cases of each
STORM = 5  # damages of a study


def single_cases(studies: Collection[int], damages: Collection[Damage], seed: int) -> Iterator[Case]:
    """Each damage alone, at each dose."""
    for damage in damages:
        for count in doses(len(studies)):
            lots = random.Random(f"{seed} {damage.name} {count}")
            yield _case(damage.name, studies, count, [(damage,)] * count, lots)


def combined_cases(studies: Collection[int], damages: Collection[Damage], seed: int) -> Iterator[Case]:
    """Pairs of damages on a third of the studies, then storms of several on each of these."""
    for name, number, several in (("pairs", PAIRS, 2), ("storms", STORMS, STORM)):
        for turn in range(number):
            lots = random.Random(f"{seed} {name} {turn}")
            count = doses(len(studies))[-1]
            drawn = [tuple(lots.sample([*damages], several)) for _ in range(count)]
            yield _case(name, studies, count, drawn, lots)


def doses(studies: int) -> tuple[int, ...]:
    """How many of the studies are touched."""
    return tuple(dict.fromkeys(max(1, ceil(share * studies)) for share in SHARES))


def all_at_once(studies: Collection[int], damages: Collection[Damage]) -> Case:
    """Every damage in one copy, each on a study of its own; the studies that are left are untouched."""
    touched = dict(zip(studies, ((damage,) for damage in damages), strict=False))
    return Case("all at once", touched, tuple(number for number in studies if number not in touched))


def _case(
    name: str, studies: Collection[int], count: int, drawn: list[tuple[Damage, ...]], lots: random.Random
) -> Case:
    shuffled = lots.sample([*studies], min(len(studies), count + OTHERS))
    return Case(name, dict(zip(shuffled, drawn, strict=False)), tuple(shuffled[count:]))
