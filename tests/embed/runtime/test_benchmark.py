"""The benchmark counts the same slices for both and computes a ratio of them."""

from pathlib import Path

import pandas as pd
import pytest

from kitlib.embed.backbone import load_backbone
from kitlib.embed.runtime import benchmark as module
from kitlib.embed.runtime.benchmark import benchmark, reading_benchmark, summary, variants
from kitlib.errors import ExtraMissingError, KitError, UsageError, WeightsError
from tests.embed.builders import draw_few_phantoms, needs_nncf


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own would import the kit for one study."""
    monkeypatch.setattr(module, "cores", lambda: 1)


def test_rates_are_medians_over_repeats() -> None:
    runs = pd.DataFrame(
        {
            "backbone": ["b"] * 3 + ["a"],
            "engine": ["openvino"] * 3 + ["torch"],
            "slices": [100] * 3 + [50],
            "loop_s": [10.0, 20.0, 40.0, 5.0],
            "kit_s": [5.0, 4.0, 5.0, 5.0],
            "embed_s": [2.0, 2.0, 1.0, 2.0],
        }
    )
    table = summary(runs).set_index("backbone")
    assert table.index.tolist() == ["b", "a"]
    assert table.loc["b"].to_dict() == {
        "engine": "openvino", "slices": 100, "loop_per_s": 5, "kit_per_s": 20, "embedding_alone_per_s": 50,
        "ratio": 5, "ratio_min": 2, "ratio_max": 8,
    }  # fmt: skip
    assert table.loc["a", "ratio"] == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:joblib")
def test_reading_is_timed_on_the_same_files(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[tuple[int, int]] = []
    kit_reading = module.kit_reading

    def counted(folders: list[Path]) -> int:
        counts.append((kit_reading(folders), module.plain_reading(folders)))
        return counts[-1][0]

    monkeypatch.setattr(module, "kit_reading", counted)
    (row,) = reading_benchmark(studies=1, repeats=2, size="smoke").to_dict("records")
    assert counts == [(row["slices"], row["slices"])] * 2
    assert row["slices"] > 10
    assert row["ratio"] == pytest.approx(row["kit_per_s"] / row["loop_per_s"])
    with pytest.raises(UsageError, match="0 studies x 2 repeats"):
        reading_benchmark(studies=0, repeats=2)


@pytest.mark.slow
@needs_nncf
@pytest.mark.filterwarnings("ignore::UserWarning:joblib")
def test_it_measures_real_files_with_the_network_as_it_is_and_in_eight_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw_few_phantoms(monkeypatch)
    table = benchmark(["test_resnet"], studies=1, repeats=1, size="smoke")
    assert table["engine"].tolist() == [
        load_backbone("test_resnet", weights="random").engine,
        "openvino int8",
    ]
    assert (table["slices"] > 10).all()
    assert table["loop_per_s"].nunique() == 1  # one loop, beside which both were timed
    for row in table.to_dict("records"):
        assert row["embedding_alone_per_s"] >= row["kit_per_s"] > 0
        assert row["ratio"] == pytest.approx(row["kit_per_s"] / row["loop_per_s"])


@pytest.mark.parametrize(
    ("backbone", "studies", "repeats", "said"),
    [
        ("test_resnet", 0, 1, "0 studies x 1 repeats"),
        ("test_resnet", 1, 0, "1 studies x 0 repeats"),
        ("medicalnet_resnet10", 1, 1, "medicalnet_resnet10 is no network of slices"),
    ],
)
def test_what_cannot_be_timed_is_refused_before_drawing(
    monkeypatch: pytest.MonkeyPatch, backbone: str, studies: int, repeats: int, said: str
) -> None:
    monkeypatch.setattr(module, "write_competition", lambda *_, **__: pytest.fail("phantoms were drawn"))
    with pytest.raises(UsageError, match=said):
        benchmark([backbone], studies=studies, repeats=repeats)


@pytest.mark.slow
@pytest.mark.parametrize("error", [ExtraMissingError, WeightsError])
def test_what_cannot_be_had_in_eight_bits_is_said_and_the_rest_measured(
    error: type[KitError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error("none to be had")

    monkeypatch.setattr(module, "quantise", refuse)
    with pytest.warns(RuntimeWarning, match="not measured in eight bits: .* none to be had"):
        (only,) = variants("test_resnet", tmp_path, "smoke")
    assert only.engine in ("openvino", "torch")
