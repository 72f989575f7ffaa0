"""The benchmark counts the same slices for both and computes a ratio of them."""

import pandas as pd
import pytest

from kitlib.embed.benchmark import benchmark, summary


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


@pytest.mark.filterwarnings("ignore::UserWarning:joblib")
def test_it_measures_real_files() -> None:
    (row,) = benchmark(["test_resnet"], studies=1, repeats=1, size="smoke").to_dict("records")
    assert row["slices"] > 10
    assert row["engine"] in ("openvino", "torch")
    assert row["embedding_alone_per_s"] >= row["kit_per_s"] > 0
    assert row["ratio"] == pytest.approx(row["kit_per_s"] / row["loop_per_s"])
