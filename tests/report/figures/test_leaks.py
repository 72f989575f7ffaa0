import numpy as np
import pandas as pd

from kitlib.report.figures.leaks import leaks
from tests.report.builders import drawn


def make_table(systems: int = 2) -> pd.DataFrame:
    rows = [
        {
            "system": f"system {k}",
            "kind": kind,
            "accuracy": 0.7 + k / 20,
            "macro_f1": 0.4,
            "macro_auc": np.nan,
        }
        for k in range(systems)
        for kind in ("honest", "leaking", "published")
    ]
    return pd.DataFrame(rows, columns=["system", "kind", "accuracy", "macro_f1", "macro_auc"])


def test_every_system_and_every_kind_is_named() -> None:
    texts = drawn(leaks(make_table(), mark=0.78))
    assert {"system 0", "system 1", "honest", "leaking", "published", "Accuracy"} <= set(texts)
    assert any("Normal/Mild" in text for text in texts)


def test_nothing_judged_twice_says_so() -> None:
    assert "no system was judged twice" in drawn(leaks(make_table(0)))
