"""Two studies prepared in a cache, the second with an unreadable axial series."""

from pathlib import Path

import pytest

from kitlib.mri.stack import Stack
from kitlib.prepare.studies import PreparedStudies
from tests.embed.builders import make_cache
from tests.prepare.builders import make_series, make_stack

SERIES2STACKS: dict[int, list[Stack]] = {
    10: [make_stack(seed=1)],
    11: [make_stack(shape=(3, 60, 20), seed=2)],
    12: [make_stack("axial", seed=3), make_stack("axial", (2, 30, 30), seed=4)],
    20: [make_stack(shape=(7, 40, 40), seed=5)],
    21: [make_stack(seed=6)],
}


def make_studies(folder: Path, patch: pytest.MonkeyPatch) -> PreparedStudies:
    series = make_series(2)
    return PreparedStudies((2, 1), series, make_cache(folder, series, SERIES2STACKS, patch))
