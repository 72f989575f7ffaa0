"""Test cases, which damages to which studies: each alone at three doses, in pairs, and in storms."""

import random
from collections.abc import Collection, Iterator
from math import ceil

from kitlib.faults.judge import Case
from kitlib.faults.registry import Damage

SHARES = (0.0, 0.1, 1 / 3)  # shares of studies that are damaged; at least one study
OTHERS = 2  # undamaged studies added to a case
PAIRS, STORMS = 3, 3  # number of cases of each
STORM = 5  # damages per study


def single_cases(studies: Collection[int], damages: Collection[Damage], seed: int) -> Iterator[Case]:
    """Yield a case for each damage alone, at each dose."""
    for damage in damages:
        for count in doses(len(studies)):
            rng = random.Random(f"{seed} {damage.name} {count}")
            yield _case(damage.name, studies, count, [(damage,)] * count, rng)


def combined_cases(studies: Collection[int], damages: Collection[Damage], seed: int) -> Iterator[Case]:
    """Yield cases of pairs of damages on a third of the studies, then storms of STORM damages each."""
    for name, number, several in (("pairs", PAIRS, 2), ("storms", STORMS, STORM)):
        for turn in range(number):
            rng = random.Random(f"{seed} {name} {turn}")
            count = doses(len(studies))[-1]
            drawn = [tuple(rng.sample([*damages], several)) for _ in range(count)]
            yield _case(name, studies, count, drawn, rng)


def doses(studies: int) -> tuple[int, ...]:
    """The numbers of studies to damage."""
    return tuple(dict.fromkeys(max(1, ceil(share * studies)) for share in SHARES))


def all_at_once(studies: Collection[int], damages: Collection[Damage]) -> Case:
    """Every damage in one copy, each on its own study; the remaining studies are untouched."""
    touched = dict(zip(studies, ((damage,) for damage in damages), strict=False))
    return Case("all at once", touched, tuple(number for number in studies if number not in touched))


def _case(
    name: str, studies: Collection[int], count: int, drawn: list[tuple[Damage, ...]], rng: random.Random
) -> Case:
    shuffled = rng.sample([*studies], min(len(studies), count + OTHERS))
    return Case(name, dict(zip(shuffled, drawn, strict=False)), tuple(shuffled[count:]))
