import pandas as pd
import pytest

from kitlib.cli import main
from kitlib.embed.runtime import benchmark as module


def test_the_table_is_printed_with_two_decimals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: dict[str, object] = {}

    def benchmark(backbones: list[str], **how: int) -> pd.DataFrame:
        asked.update(how, backbones=backbones)
        return pd.DataFrame({"backbone": backbones, "ratio": [1.234, 5.678]})

    monkeypatch.setattr(module, "benchmark", benchmark)
    assert main(["bench", "--backbones", "a", "b", "--studies", "1", "--repeats", "2"]) == 0
    assert asked == {"backbones": ["a", "b"], "studies": 1, "repeats": 2}
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["backbone", "ratio"], ["a", "1.23"], ["b", "5.68"]]
