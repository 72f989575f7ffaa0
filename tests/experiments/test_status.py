import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from kitlib.artefacts import Provenance, facts_of, save_table
from kitlib.errors import ArtefactError
from kitlib.experiments.status import RunKey

HERE = RunKey("these", {"folds": 2, "grey": "greyscale", "cell_timeout_s": 0.1})
TABLE = pd.DataFrame({"a": [1]})


@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({}, ""),
        ({"data": "others"}, "made on other data"),
        ({"settings": {**HERE.settings, "folds": 3}}, "made with other settings"),
    ],
)
def test_what_is_saved_knows_its_run(tmp_path: Path, change: dict, mismatch: str) -> None:
    path = tmp_path / "a.parquet"
    HERE.save(path, TABLE, more=1)
    assert facts_of(path)["more"] == 1
    assert RunKey.of(path) == HERE
    assert dataclasses.replace(HERE, **change).mismatch(path) == mismatch


def test_what_says_nothing_of_its_run_does_not_belong(tmp_path: Path) -> None:
    save_table(tmp_path / "a.parquet", TABLE, Provenance())
    assert HERE.mismatch(tmp_path / "a.parquet") == "made with other settings"
    with pytest.raises(ArtefactError):
        HERE.mismatch(tmp_path / "none.parquet")
