from pathlib import Path

import pandas as pd
import pytest

from kitlib.cli import main
from kitlib.kaggle.rehearse import Rehearsal, Rehearsed
from tests.kaggle.builders import KERNEL, KERNEL_FILE, change, make_build, without_kit

SESSIONS = pd.DataFrame(
    [("06_submission-rerun", 10.04, 99.6, 1.0, 2.5)],
    columns=["session", "wall_s", "peak_memory_mb", "written_mb", "projected_h"],
)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return without_kit(make_build(tmp_path / "whole"), tmp_path / "build")


def test_build_prints_what_to_type_and_asks_for_an_owner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kaggle", "build", "--out", str(tmp_path / "build"), "-p", "epochs=3"]) == 0
    printed = capsys.readouterr().out
    assert "kaggle datasets create -p datasets/kitlib-code -r zip" in printed
    assert printed.index("push -p kernels/kitlib-01-eda") < printed.index("push -p kernels/kitlib-06")
    assert "build with --owner before you upload" in printed


def test_a_build_with_a_fault_is_not_offered_for_upload(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = tmp_path / "kit-1.0-cp39-cp39-win32.whl"
    wheel.touch()
    assert main(["kaggle", "build", "--out", str(tmp_path / "build"), "--wheels", str(wheel)]) == 1
    assert capsys.readouterr().out == f"kitlib-wheels: {wheel.name} is not for Python 3.12 on Linux\n"


def test_a_build_with_a_fault_is_not_rehearsed(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(built / KERNEL / KERNEL_FILE, enable_internet=True)
    assert main(["kaggle", "rehearse", str(built)]) == 1
    assert "enable_internet: false" in capsys.readouterr().out


@pytest.mark.parametrize(("against", "code"), [([], 0), (["it is late"], 1)])
def test_a_rehearsal_ends_with_its_verdict(
    built: Path, tmp_path: Path, data, monkeypatch, capsys, against: list[str], code: int
) -> None:
    monkeypatch.setattr("kitlib.kaggle.session.namespaces_allowed", lambda: False)
    monkeypatch.setattr(Rehearsal, "run", lambda _: Rehearsed(SESSIONS, {}, 0.5, against))
    out = tmp_path / "out"
    assert main(["kaggle", "rehearse", str(built), "--data", str(data.root), "--out", str(out)]) == code
    printed = capsys.readouterr().out
    assert printed.startswith("Namespaces are not allowed here")
    for line in ("seconds per hidden study 0.50", "722 hidden studies 2.50 h", "peak memory 100 MB"):
        assert line in printed
    assert printed.splitlines()[-1].startswith("verdict: do not" if against else "verdict: it can")
    assert printed.splitlines()[-1].endswith(", at 9 h per session")
    assert all(f"against it: {reason}" in printed for reason in against)
    assert printed.endswith((out / "rehearsal.txt").read_text())


def test_a_rehearsal_that_broke_off_says_nothing_of_the_hidden_set(
    built: Path, tmp_path: Path, data, monkeypatch, capsys
) -> None:
    broken = Rehearsed(SESSIONS, {}, float("nan"), ["06_submission-rerun: it ran longer than 322 s"])
    monkeypatch.setattr(Rehearsal, "run", lambda _: broken)
    words = ["kaggle", "rehearse", str(built), "--data", str(data.root), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert "nan" not in printed
    assert "hidden studies" not in printed


def test_a_ledger_is_kept_and_plotted(tmp_path: Path, monkeypatch, capsys) -> None:
    from kitlib.kaggle import ledger

    row = {"date": "2026-11-30", "profile": "smoke", "cv": 0.4, "cv_low": 0.3, "cv_high": 0.5}
    monkeypatch.setattr(ledger, "_facts", lambda _: {**row, "submission_sha256": "f" * 64})
    file = tmp_path / "ledger.csv"
    assert main(["kaggle", "record", str(tmp_path), "--ledger", str(file)]) == 0
    assert "submission 1; when it is scored: python -m kitlib kaggle score 1 VALUE" in capsys.readouterr().out
    assert not file.with_suffix(".png").exists()
    assert main(["kaggle", "score", "1", "0.41", "--ledger", str(file)]) == 0
    assert "0.41" in capsys.readouterr().out
    assert file.with_suffix(".png").stat().st_size > 1000
    assert main(["kaggle", "score", "2", "0.41", "--ledger", str(file)]) == 2
    assert "no submission 2 in the ledger" in capsys.readouterr().err
