"""A cache of prepared volumes that needs no files."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from kitlib.mri.stack import Stack
from kitlib.prepare import volumes
from kitlib.prepare.volumes import VolumeCache

LONGEST_PX = 48


def make_cache(
    folder: Path, series: pd.DataFrame, series2stacks: Mapping[int, list[Stack]], patch: pytest.MonkeyPatch
) -> VolumeCache:
    """A cache of `series` as if their files held these stacks."""

    def read(*_: object, series_id: int, **__: int) -> list[Stack]:
        return series2stacks.get(series_id, [])

    patch.setattr(volumes, "read_series", read)
    cache = VolumeCache(folder, longest_px=LONGEST_PX)
    cache.build(series)
    return cache
