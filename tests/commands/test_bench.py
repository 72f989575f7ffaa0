"""Both benches write their pages with the commands that made them."""

from pathlib import Path

import pandas as pd
import pytest

from kitlib.cli import main
from kitlib.faults.bench import Bench
from kitlib.run.speed import Speed
from tests.report.pages.test_speed import PREDICTING, RATIOS, STEPS

DAMAGES = pd.DataFrame(
    [("files", "file empty", "Files of no byte", 1, 0, "", 0.5, 3.0, "unharmed")],
    columns=["kind", "name", "what", "touched", "unreported", "failures", "seconds", "grown_mb", "naive"],
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


def test_speed_is_printed_and_written_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: list[object] = []

    def measure_speed(work: Path, backbones: list[str], **how: object) -> Speed:
        asked.extend([work, backbones, how])
        return Speed(RATIOS, PREDICTING, STEPS, {"data": "2 phantoms"})

    monkeypatch.setattr("kitlib.run.speed.measure_speed", measure_speed)
    words = ["--work", str(tmp_path), "--backbones", "a", "b", "--studies", "2", "--counts", "1", "5"]
    assert main(["bench", *words, "--out", str(tmp_path)]) == 0
    assert asked == [
        tmp_path, ["a", "b"], {"studies": 2, "size": "clinical", "repeats": 3, "counts": [1, 5]},
    ]  # fmt: skip
    page = (tmp_path / "speed.md").read_text()
    assert page == capsys.readouterr().out
    options = "--backbones a b --counts 1 5 --studies 2 --size clinical --repeats 3"
    assert f"| made by | `python -m kitlib bench --work DIR {options}` |" in page
