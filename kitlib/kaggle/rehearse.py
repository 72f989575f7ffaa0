"""Rehearse a build on this machine as Kaggle would run it: session by session, each measured."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from kitlib.artefacts import load_table, write_text
from kitlib.competition.metric import Score, score
from kitlib.competition.priors import Prior
from kitlib.competition.root import Competition
from kitlib.competition.submission import validate_submission
from kitlib.competition.tables import read_predictions, read_train_labels
from kitlib.errors import KitError, UsageError
from kitlib.kaggle.build import kernel_slug
from kitlib.kaggle.image import HIDDEN_STUDIES, LIMITS, TRAINING_STUDIES, Limits
from kitlib.kaggle.session import UNSHARE
from kitlib.kaggle.sessions import SESSIONS, VISIBLE, Session
from kitlib.kaggle.watch import watch
from kitlib.run import layout

STARTUP_S = 60.0
"""Startup time added to a scaled time limit, because it does not grow with the studies."""
BUDGET_SHARE = 8.5 / 9.0
"""Share of the last notebook's time for prediction, as in the profile `kaggle`."""
FOLDERS = ("root", "working", "home", "tmp", "absent")
PLAN = "plan.json"
"""The plan's file name in the folder of every session."""


@dataclass(frozen=True)
class Rehearsed:
    """Measurements of the sessions, scores on the hidden test set, and every reason not to submit."""

    sessions: pd.DataFrame  # session, wall_s, peak_memory_mb, written_mb, projected_h
    scores: Mapping[str, Score]
    study_s: float  # NaN if a session failed before the hidden test set was predicted
    against: list[str]


@dataclass(frozen=True)
class Rehearsal:
    """A build and a competition folder whose test studies play the hidden ones; the first is also visible."""

    build: Path
    competition: Competition
    out: Path
    isolated: bool
    limits: Limits = LIMITS

    def run(self) -> Rehearsed:
        """Run the sessions up to the first that fails, each in a new folder under `out`/sessions.

        Raises UsageError if that folder holds anything not made by a rehearsal.
        """
        self._clear()
        rows: list[dict[str, Any]] = []
        for session in SESSIONS:
            row, failure = self._run(session)
            rows.append(row)
            tqdm.write(f"{session.name}: {row['wall_s']:.0f} s, {row['peak_memory_mb']:.0f} MB")
            if failure:
                return Rehearsed(pd.DataFrame(rows), {}, float("nan"), [f"{session.name}: {failure}"])
        return self._judge(rows)

    def _clear(self) -> None:
        """Delete the sessions of an earlier rehearsal."""
        found = sorted(self._folder().glob("*"))
        ours = [path for path in found if (path / PLAN).is_file()]
        ours += [path for path in found if ours and path.name == VISIBLE]
        if strange := [path for path in found if path not in ours]:
            raise UsageError(
                "this was not made by a rehearsal", where=strange[0], hint="Name another --out, or delete it."
            )
        shutil.rmtree(self._folder(), ignore_errors=True)

    def _folder(self, *names: str) -> Path:
        return self.out.joinpath("sessions", *names)

    def _run(self, session: Session) -> tuple[dict[str, Any], str]:
        """Run a session; returns its row and why it failed, or ""."""
        folder, times = self._folder(session.name), self._times(session)
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        limit_s = self.limits.hours * 3600 / times + STARTUP_S * (times > 1)
        write_text(folder / PLAN, json.dumps(self._plan(session, folder, limit_s)))
        command = [*(UNSHARE if self.isolated else ()), sys.executable, "-m", "kitlib.kaggle.session"]
        environment, started_s = session.environment(folder, self.isolated), time.monotonic()
        with open(folder / "log.txt", "w+", encoding="utf-8", errors="replace") as log:
            plan = str(folder / PLAN)
            process = subprocess.Popen([*command, plan], env=environment, stdout=log, stderr=log)
            watched = watch(process, folder / "working", self.limits, limit_s)
            log.seek(0)
            last = (log.read().strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        wall_s = time.monotonic() - started_s
        shutil.rmtree(folder / "tmp", ignore_errors=True)  # as on Kaggle; gigabytes with many studies
        row = {"session": session.name, "wall_s": wall_s, "peak_memory_mb": watched.peak_memory_mb}
        row |= {"written_mb": watched.written_mb, "projected_h": wall_s * times / 3600}
        return row, watched.ended or (last if process.returncode else "")

    def _times(self, session: Session) -> float:
        """Ratio of a session's number of studies on Kaggle to that here, at least 1."""
        if not session.predicts:
            return max(1.0, TRAINING_STUDIES / len(self.competition.train_labels()))
        hidden = len(self.competition.test_study_ids())
        return max(1.0, HIDDEN_STUDIES / hidden) if session.kind == "rerun" else 1.0

    def _plan(self, session: Session, folder: Path, limit_s: float) -> dict[str, Any]:
        kernel = self.build / "kernels" / kernel_slug(session.step)
        inputs = session.inputs(self.build, self.competition, self._folder())
        budget = {"budget_s": BUDGET_SHARE * limit_s} if session.predicts else {}
        return {
            "isolated": self.isolated,
            **{name: str(folder / name) for name in FOLDERS},
            "inputs": {place: str(path.resolve()) for place, path in inputs.items()},
            "notebook": str(kernel / session.step.notebook),
            "executed": str(folder / session.step.notebook),
            "parameters": budget,
            "timeout_s": limit_s,
        }

    def _judge(self, rows: list[dict[str, Any]]) -> Rehearsed:
        """The outcome when all sessions have run."""
        rerun, hidden = self._folder(SESSIONS[-1].name, "working"), self.competition.test_study_ids()
        seconds = load_table(layout.SECONDS.under(rerun))["seconds"]
        fixed_s = rows[-1]["wall_s"] - seconds.sum()
        rows[-1]["projected_h"] = (fixed_s + HIDDEN_STUDIES * seconds.mean()) / 3600
        against = [
            f"{row['session']}: with Kaggle's studies this machine would take {row['projected_h']:.1f} h"
            for row in rows
            if row["projected_h"] > self.limits.hours
        ]
        if late := len(hidden) - len(seconds):
            against.append(f"{late} of {len(hidden)} hidden studies ran out of time and have the prior")
        stripped = sorted(self._folder().glob("*-batch/working/**/*=*"))
        against += [f"Kaggle strips '=' from names: {path.name}" for path in stripped]
        scores: Mapping[str, Score] = {}
        try:
            validate_submission(rerun / "submission.csv", hidden)
        except KitError as error:
            against.append(str(error))
        else:
            scores = self._scores(rerun / "submission.csv")
        return Rehearsed(pd.DataFrame(rows), scores, float(seconds.mean()), against)

    def _scores(self, submission: Path) -> dict[str, Score]:
        """Scores of the submission and the prior, if the labels of the hidden studies are known."""
        truth_file = self.competition.root / "test_labels.csv"
        if not truth_file.is_file():
            return {}
        truth = read_train_labels(truth_file)
        prior = Prior.fit(self.competition.train_labels()).predict(truth.index)
        rows = {"submission": read_predictions(submission), "prior": prior}
        return {name: score(truth, table) for name, table in rows.items()}
