"""The benchmark counts the same slices for all loops and computes ratios of them."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from kitlib.embed.backbone import load_backbone
from kitlib.embed.runtime import benchmark as module
from kitlib.embed.runtime.benchmark import (
    COLUMNS,
    check_benchmark,
    drawn_series,
    embedding_runs,
    ratio_table,
    reading_runs,
    variants,
)
from kitlib.errors import ExtraMissingError, KitError, UsageError, WeightsError
from tests.embed.builders import draw_few_phantoms, needs_nncf
from tests.mri.builders import make_series


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Separate processes would import the kit for one study."""
    monkeypatch.setattr(module, "cores", lambda: 1)


def test_rates_are_medians_over_repeats() -> None:
    runs = pd.DataFrame(
        {
            "what": ["b"] * 3 + ["a"],
            "against": ["loop"] * 4,
            "slices": [100] * 3 + [50],
            "loop_s": [10.0, 20.0, 40.0, 5.0],
            "kit_s": [5.0, 4.0, 5.0, 5.0],
        }
    )
    table = ratio_table(runs).set_index("what")
    assert table.index.tolist() == ["b", "a"]
    assert table.loc["b"].to_dict() == {
        "against": "loop", "loop_per_s": 5, "kit_per_s": 20, "ratio": 5, "ratio_min": 2, "ratio_max": 8,
    }  # fmt: skip
    assert table.loc["a", "ratio"] == 1


@pytest.fixture(scope="module")
def drawn() -> Iterator[tuple[Path, pd.DataFrame]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # joblib's, with one process
        with drawn_series(1, "smoke") as found:
            yield found


@pytest.mark.slow
def test_reading_is_timed_on_the_same_files(drawn: tuple[Path, pd.DataFrame]) -> None:
    _, series = drawn
    folders = list(map(Path, series["folder"]))
    slices = module.kit_reading(folders)
    assert slices == module.pydicom_reading(folders) == module.simpleitk_reading(folders) > 10
    runs = reading_runs(series, 2)
    assert runs.columns.tolist() == list(COLUMNS)
    assert set(runs["slices"]) == {slices}
    assert runs.groupby("against").size().tolist() == [2, 2]
    assert (runs[["loop_s", "kit_s"]] > 0).all(axis=None)


@pytest.mark.slow
def test_a_series_that_simpleitk_cannot_read_counts_as_none(tmp_path: Path) -> None:
    make_series(tmp_path / "whole")
    make_series(tmp_path / "mixed")
    make_series(tmp_path / "mixed", size=(20, 10), first_number=40)
    whole = module.simpleitk_reading([tmp_path / "whole"])
    assert whole > 1
    assert module.simpleitk_reading([tmp_path / "whole", tmp_path / "mixed", tmp_path / "absent"]) == whole


@pytest.mark.slow
@needs_nncf
def test_it_measures_real_files_with_the_network_as_it_is_and_in_eight_bits(
    drawn: tuple[Path, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_few_phantoms(monkeypatch)
    runs = embedding_runs(["test_resnet"], drawn[1], 1, tmp_path)
    engine = load_backbone("test_resnet", weights="random").engine
    assert runs["what"].tolist() == [f"embedding, test_resnet by {one}" for one in (engine, "openvino int8")]
    assert runs["loop_s"].nunique() == 1  # the one baseline loop of both
    assert (runs["slices"] > 10).all()
    assert (runs["kit_s"] > 0).all()


@pytest.mark.parametrize(
    ("backbone", "counts", "said"),
    [
        ("test_resnet", (1, 0), "0 times is nothing to time"),
        ("test_resnet", (-1, 1), "-1 times is nothing to time"),
        ("medicalnet_resnet10", (1, 1), "medicalnet_resnet10 is no network of slices"),
    ],
)
def test_what_cannot_be_timed_is_refused(backbone: str, counts: tuple[int, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_benchmark([backbone], *counts)


@pytest.mark.slow
@pytest.mark.parametrize("error", [ExtraMissingError, WeightsError])
def test_what_cannot_be_had_in_eight_bits_is_said_and_the_rest_measured(
    error: type[KitError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error("none to be had")

    monkeypatch.setattr(module, "quantise", refuse)
    with pytest.warns(RuntimeWarning, match="not measured in eight bits: .* none to be had"):
        (only,) = variants("test_resnet", tmp_path)
    assert only.engine in ("openvino", "torch")
