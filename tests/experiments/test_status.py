import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from kitlib.experiments.run_key import Origin

from kitlib.artefacts import Provenance, facts_of, save_table
from kitlib.errors import ArtefactError

HERE = Origin("these", {"folds": 2, "grey": "greyscale", "cell_timeout_s": 0.1})
TABLE = pd.DataFrame({"a": [1]})


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({}, ""),
        ({"data": "others"}, "made on other data"),
        ({"settings": {**HERE.settings, "folds": 3}}, "made with other settings"),
    ],
)
def test_what_is_saved_knows_its_origin(tmp_path: Path, change: dict, objection: str) -> None:
    path = tmp_path / "a.parquet"
    HERE.save(path, TABLE, more=1)
    assert facts_of(path)["more"] == 1
    assert Origin.of(path) == HERE
    assert dataclasses.replace(HERE, **change).objection(path) == objection


def test_what_says_nothing_of_its_origin_does_not_belong(tmp_path: Path) -> None:
    save_table(tmp_path / "a.parquet", TABLE, Provenance())
    assert HERE.objection(tmp_path / "a.parquet") == "made with other settings"
    with pytest.raises(ArtefactError):
        HERE.objection(tmp_path / "none.parquet")
