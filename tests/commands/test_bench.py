"""`bench` prints its table; `bench faults` writes its page with the command that made it."""

import pandas as pd
import pytest

from kitlib.cli import main
from kitlib.faults.bench import Bench

DAMAGES = pd.DataFrame(
    [("files", "file empty", "Files of no byte", 1, 0, "", 0.5, 3.0, "unharmed")],
    columns=["kind", "name", "what", "touched", "untold", "failures", "seconds", "grown_mb", "naive"],
)


def test_the_page_is_written_with_its_command(tmp_path, monkeypatch, capsys):
    asked = []

    def run_bench(_, **how):
        asked.append(how)
        return Bench(DAMAGES, pd.DataFrame(), pd.DataFrame(), {"data": "9 phantoms"})

    monkeypatch.setattr("kitlib.faults.bench.run_bench", run_bench)
    words = ["--studies", "9", "--mutants", "0", "--kills", "0", "--out", str(tmp_path)]
    assert main(["bench", "faults", *words]) == 0
    assert asked == [{"studies": 9, "seed": 2024, "mutants": 0, "kills": 0, "run_kills": 0}]
    page = (tmp_path / "faults.md").read_text()
    command = "python -m kitlib bench faults --studies 9 --seed 2024 --mutants 0 --kills 0 --run-kills 0"
    assert f"| made by | `{command}` |" in page
    assert str(tmp_path) not in page
    assert "1 of 1 cases passed" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--studies", "3"], ["--kills", "-1"], ["--seed", "-1"]])
def test_too_little_to_judge_is_one_line(words, tmp_path, capsys):
    assert main(["bench", "faults", *words, "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "too little to judge" in line
    assert not list(tmp_path.iterdir())


def test_the_table_is_printed_with_two_decimals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: dict[str, object] = {}

    def benchmark(backbones: list[str], **how: int) -> pd.DataFrame:
        asked.update(how, backbones=backbones)
        return pd.DataFrame({"backbone": backbones, "ratio": [1.234, 5.678]})

    monkeypatch.setattr("kitlib.embed.runtime.benchmark.benchmark", benchmark)
    assert main(["bench", "--backbones", "a", "b", "--studies", "1", "--repeats", "2"]) == 0
    assert asked == {"backbones": ["a", "b"], "studies": 1, "repeats": 2}
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["backbone", "ratio"], ["a", "1.23"], ["b", "5.68"]]
