import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kitlib.artefacts import save_table
from kitlib.competition.priors import Prior
from kitlib.competition.root import Competition
from kitlib.competition.submission import write_submission
from kitlib.errors import UsageError
from kitlib.kaggle import rehearse as module
from kitlib.kaggle.image import HIDDEN_STUDIES, TRAINING_STUDIES, Limits
from kitlib.kaggle.rehearse import STARTUP_S, Rehearsal
from kitlib.kaggle.sessions import SESSIONS, Session
from kitlib.kaggle.watch import Watched, watch
from kitlib.run import layout
from tests.run.finished import MADE

FIRST, LAST = SESSIONS[0], SESSIONS[-1]


@pytest.fixture
def rehearsal(light_build: Path, data: Competition, tmp_path: Path) -> Rehearsal:
    return Rehearsal(light_build, data, tmp_path / "out", isolated=False)


def write_rerun(rehearsal: Rehearsal, seconds: list[float]) -> Path:
    """Write the results of the last notebook, with this many of three hidden studies predicted."""
    working = rehearsal.out / "sessions" / LAST.name / "working"
    table = pd.DataFrame({"study_id": range(len(seconds)), "seconds": seconds})
    save_table(layout.SECONDS.under(working), table, MADE)
    prior = Prior.fit(rehearsal.competition.train_labels())
    write_submission(working / "submission.csv", prior.predict(rehearsal.competition.test_study_ids()))
    return working


def rows(projected_h: float = 1.0, wall_s: float = 10.0) -> list[dict[str, Any]]:
    facts = {"wall_s": wall_s, "peak_memory_mb": 1.0, "written_mb": 1.0, "projected_h": projected_h}
    return [{"session": session.name, **facts} for session in SESSIONS]


def test_the_hidden_set_is_projected_study_by_study(rehearsal: Rehearsal) -> None:
    write_rerun(rehearsal, [1.0, 2.0, 3.0])
    judged = rehearsal._judge(rows(wall_s=10.0))
    assert judged.against == []
    assert judged.study_s == pytest.approx(2)
    assert judged.sessions["projected_h"].iloc[-1] == pytest.approx((4 + HIDDEN_STUDIES * 2) / 3600)
    assert judged.scores == {}  # without labels for these


def test_everything_that_speaks_against_a_submission_is_said(rehearsal: Rehearsal) -> None:
    working = write_rerun(rehearsal, [50.0, 50.0])
    (working.parents[1] / FIRST.name.replace("interactive", "batch") / "working").mkdir(parents=True)
    (working.parents[1] / "01_eda-batch" / "working" / "fold=1.json").touch()
    (working / "submission.csv").write_text("row_id\n")
    against = "\n".join(rehearsal._judge(rows(projected_h=9.5, wall_s=100.0)).against)
    assert "04_modelling-batch: with Kaggle's studies this machine would take 9.5 h" in against
    assert "06_submission-rerun: with Kaggle's studies this machine would take 10.0 h" in against
    assert "1 of 3 hidden studies ran out of time" in against
    assert "Kaggle strips '=' from names: fold=1.json" in against
    assert "[data.submission]" in against


def test_the_submission_is_scored_beside_the_prior_where_the_truth_is_known(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    root = tmp_path / "known"
    root.mkdir()
    for path in rehearsal.competition.root.iterdir():
        (root / path.name).symlink_to(path)
    labels = pd.read_csv(root / "train.csv").head(3)
    labels.assign(study_id=[11, 12, 13]).to_csv(root / "test_labels.csv", index=False)
    known = Rehearsal(rehearsal.build, Competition(root), rehearsal.out, isolated=False)
    write_rerun(known, [1.0, 1.0, 1.0])
    scores = known._judge(rows()).scores
    assert scores["submission"].total == pytest.approx(scores["prior"].total, abs=1e-6)  # which it is


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that end at once with one line of output."""
    command = [sys.executable, "-c", "raise SystemExit('[step] so it is')"]
    popen = subprocess.Popen
    monkeypatch.setattr(module.subprocess, "Popen", lambda _, **how: popen(command, **how))


@pytest.mark.usefixtures("failing")
def test_time_is_scaled_from_nine_hours_by_the_studies(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits_s = []

    def watched(process: Any, working: Path, limits: Limits, limit_s: float) -> Watched:
        limits_s.append(limit_s)
        return watch(process, working, limits, limit_s)

    monkeypatch.setattr(module, "watch", watched)
    monkeypatch.setattr(Session, "inputs", lambda *_: {})
    for session in (FIRST, SESSIONS[-2], LAST):
        rehearsal._run(session)
    whole_s = 9 * 3600
    shares = [6 / TRAINING_STUDIES, 1, 3 / HIDDEN_STUDIES]  # one visible test study, as on Kaggle
    assert limits_s == pytest.approx([whole_s * share + STARTUP_S * (share < 1) for share in shares])
    plan = json.loads((rehearsal.out / "sessions" / LAST.name / "plan.json").read_text())
    assert plan["parameters"] == {"budget_s": pytest.approx(limits_s[-1] * 8.5 / 9)}


@pytest.mark.usefixtures("failing")
def test_only_what_a_rehearsal_has_made_is_deleted(rehearsal: Rehearsal) -> None:
    mine = rehearsal.out / "sessions" / "monday" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match=r"not made by a rehearsal.*monday"):
        rehearsal.run()
    assert mine.read_text() == "mine"
    shutil.rmtree(mine.parent)
    rehearsal.run()
    (rehearsal.out / "sessions" / FIRST.name / "old.txt").touch()
    rehearsal.run()
    assert not list((rehearsal.out / "sessions").rglob("old.txt"))


@pytest.mark.parametrize("hours", [0, -1, float("nan"), float("inf")])
def test_hours_that_are_none_are_refused(hours: float) -> None:
    with pytest.raises(UsageError, match="cannot last"):
        Limits(hours)


def test_a_log_of_other_bytes_than_utf_8_is_read(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "import sys; sys.stderr.buffer.write(b'caf\\xe9'); sys.exit(1)"]
    popen = subprocess.Popen
    monkeypatch.setattr(module.subprocess, "Popen", lambda _, **how: popen(command, **how))
    assert rehearsal.run().against == [f"{FIRST.name}: caf\ufffd"]


def test_what_a_session_leaves_in_its_temporary_folder_ends_with_it(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = "import os, pathlib; pathlib.Path(os.environ['TMPDIR'], 'cache').touch(); raise SystemExit('left')"
    popen = subprocess.Popen
    monkeypatch.setattr(
        module.subprocess, "Popen", lambda _, **how: popen([sys.executable, "-c", left], **how)
    )
    assert rehearsal.run().against == [f"{FIRST.name}: left"]
    assert not list((rehearsal.out / "sessions").rglob("cache"))


@pytest.mark.usefixtures("failing")
def test_the_first_session_that_fails_ends_the_rehearsal_with_its_last_line(
    rehearsal: Rehearsal,
) -> None:
    rehearsed = rehearsal.run()
    assert rehearsed.against == [f"{FIRST.name}: [step] so it is"]
    assert rehearsed.sessions["session"].tolist() == [FIRST.name]
    plan = json.loads((rehearsal.out / "sessions" / FIRST.name / "plan.json").read_text())
    assert plan["notebook"].endswith("kernels/kitlib-01-eda/01_eda.ipynb")
    assert not plan["isolated"]
