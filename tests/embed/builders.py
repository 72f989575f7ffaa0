"""A cache of prepared volumes that needs no files, and what tests of the extra `openvino` need."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from kitlib.embed.runtime import quantise
from kitlib.embed.runtime.inference import silent_openvino
from kitlib.mri.stack import Stack
from kitlib.prepare import volumes
from kitlib.prepare.volumes import VolumeCache

LONGEST_PX = 48

needs_openvino = pytest.mark.skipif(
    silent_openvino() is None, reason="OpenVINO is not installed (pip install 'kitlib[openvino]')"
)
# Not imported to check whether it exists: unless the kit has disabled it, NNCF reports to Google Analytics,
# and makes OpenVINO do so at each conversion from a forked copy of this process, which takes seconds.
needs_nncf = pytest.mark.skipif(
    silent_openvino() is None or find_spec("nncf") is None,
    reason="OpenVINO or NNCF is not installed (pip install 'kitlib[openvino]')",
)


def draw_few_phantoms(patch: pytest.MonkeyPatch) -> None:
    """Make `quantise` calibrate on one phantom and evaluate on another, both drawn here once."""
    patch.setattr(quantise, "SCALED_ON", range(1))
    patch.setattr(quantise, "JUDGED_ON", range(1, 2))
    patch.setattr(quantise, "cores", lambda: 1)
    patch.setattr(quantise, "draw_study", cache(quantise.draw_study))


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


def install(patch: pytest.MonkeyPatch, folder: Path, package: str, name: str, content: bytes) -> Path:
    """A package in a folder, on the path, that holds one file beside a module that must not be imported."""
    module = package.replace("-", "_")
    files = {
        f"{module}/__init__.py": b"raise SystemExit('the package has run')",
        f"{module}/{name}": content,
        f"{module}-0.1.0.dist-info/METADATA": f"Name: {package}\nVersion: 0.1.0\n".encode(),
    }
    for place, written in files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(written)
    (folder / f"{module}-0.1.0.dist-info/RECORD").write_text("".join(f"{place},,\n" for place in files))
    patch.syspath_prepend(str(folder))
    return folder / module / name
