"""The naive loader, on intact and on damaged phantoms."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread

from kitlib.faults.naive import CHANGED, ENDS, LACKS, UNHARMED, load_study, naive_reading, verdict
from kitlib.faults.subject import SERIES_TABLE
from kitlib.terms import AXIAL_T2
from tests.mri.builders import make_series


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_series(tmp_path / "test_images" / "7" / "70", count=3)
    table = pd.DataFrame([(7, 70, AXIAL_T2)], columns=["study_id", "series_id", "series_description"])
    table.to_csv(tmp_path / SERIES_TABLE, index=False)
    return tmp_path


def test_slices_lie_in_the_order_of_their_numbers(root: Path) -> None:
    folder = root / "test_images" / "7"
    volumes = load_study(folder, pd.read_csv(root / SERIES_TABLE))
    expected = np.stack([dcmread(folder / "70" / f"{number}.dcm").pixel_array for number in (1, 2, 3)])
    np.testing.assert_array_equal(volumes[AXIAL_T2], expected)


@pytest.mark.slow
def test_it_runs_in_a_process_of_its_own_and_passes_over_what_it_cannot_read(root: Path) -> None:
    whole = naive_reading(root)
    assert whole is not None
    assert verdict(whole, whole, 7, 7) == UNHARMED
    (root / "test_images" / "7" / "70" / "2.dcm").write_bytes(b"")
    found = naive_reading(root)
    assert verdict(found, whole, 7, 7) == CHANGED


@pytest.mark.slow
def test_a_table_that_it_cannot_read_or_a_pipe_ends_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "test_images" / "7" / "70" / "4.dcm")
    monkeypatch.setattr("kitlib.faults.naive.PATIENCE_S", 0.5)
    assert naive_reading(root) is None


def test_what_is_not_there_is_lacking() -> None:
    whole = {"1": {"a": "x", "b": "y"}}
    assert verdict(None, whole, 7, 1) == ENDS
    assert verdict({}, whole, 7, 1) == LACKS
    assert verdict({"7": {"a": "x"}}, whole, 7, 1) == LACKS
    assert verdict({"7": {"a": "x", "b": "z"}}, whole, 7, 1) == CHANGED
    assert verdict({"7": {"a": "x", "b": "y"}}, whole, 7, 1) == UNHARMED
