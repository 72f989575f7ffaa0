"""Run the six notebooks in order, each only if its code, parameters or inputs have changed."""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from tqdm.auto import tqdm

from kitlib.artefacts import atomic_write, fingerprint, load_table
from kitlib.code import library_code
from kitlib.ensemble.names import CALIBRATED_BLEND
from kitlib.errors import StepError, UsageError
from kitlib.machine import repeating
from kitlib.run import layout, steps
from kitlib.run.data import repository, resolve_competition, resolve_submission, resolve_work, sole_run
from kitlib.run.execute import execute, own_kernel, read_notebook
from kitlib.run.profiles import Profile, profile_named
from kitlib.run.steps import STEPS, Step

BAR = "{desc} |{bar:20}| {n_fmt}/{total_fmt} steps, {elapsed}{postfix}"
LOG_INTERVAL_S = 30
SHOWN_SCORES = {
    CALIBRATED_BLEND: "cross-validated",
    "oracle": "oracle",
    "prior": "prior, no image",
    "1/3": "1/3 everywhere",
}


@dataclass(frozen=True)
class Runner:
    """Runs steps with one profile, on one competition, into one work folder."""

    profile: Profile
    home: Path
    work: Path
    parameters: Mapping[str, Any]
    data: str
    force: bool = False

    def run(self, asked: list[Step]) -> None:
        """Run the steps that are not done; raises StepError at the first that fails."""
        interval_s = 1 if sys.stderr.isatty() else LOG_INTERVAL_S
        with own_kernel(), tqdm(total=len(asked), bar_format=BAR, mininterval=interval_s, miniters=0) as bar:
            for step in asked:
                bar.set_description(step.name)
                self._step(step, bar)
                bar.update(1)

    def _step(self, step: Step, bar: "tqdm[Any]") -> None:
        source = self.home / "notebooks" / step.notebook
        notebook = read_notebook(source)
        state = self._state(step, notebook)
        manifest = steps.done(self.work, step.name)
        if manifest and manifest.get("state") == state and not self.force:
            tqdm.write(f"{step.name} is unchanged since {manifest['ended']}: skipped")
            return
        steps.manifest_path(self.work, step.name).unlink(missing_ok=True)
        started_s, timeout_s = time.time(), self.profile.cell_timeout_s
        executed = self.work / layout.EXECUTED / step.notebook
        with watched_memory(bar) as samples_mb:
            execute(source, executed, dict(self.parameters), folder=self.home, cell_timeout_s=timeout_s)
        manifest = steps.read_manifest(self.work, step.name)
        if manifest is None:
            raise StepError(f"{step.name} did not end with finish(settings)", where=source)
        measured = {
            "wall_s": round(time.time() - started_s, 1),
            "peak_memory_mb": round(max(*samples_mb, manifest["peak_memory_mb"])),
            "ended": time.strftime("%Y-%m-%d %H:%M"),
        }
        steps.write_manifest(self.work, step.name, {**manifest, **measured, "state": state})
        tqdm.write(f"{step.name} took {measured['wall_s']} s and {measured['peak_memory_mb']} MB")

    def _state(self, step: Step, notebook: Mapping[str, Any]) -> str:
        """Fingerprint of everything that the step's results depend on."""
        code, read = steps.notebook_code(notebook), steps.read_fingerprints(step, self.work)
        return fingerprint(code, library_code(), self.profile.results(), self.data, read)


@contextlib.contextmanager
def watched_memory(bar: "tqdm[Any]") -> Iterator[list[float]]:
    """Show the memory of this process's children on a bar; yields the growing list of samples in MB."""
    samples_mb = [0.0]

    def sample() -> None:
        samples_mb.append(children_memory_mb())
        text = f"memory {samples_mb[-1]:.0f} MB, peak {max(samples_mb):.0f} MB"
        bar.set_postfix_str(text, refresh=False)
        bar.update(0)

    with repeating(sample):
        yield samples_mb


def children_memory_mb() -> float:
    """Memory of all children of this process, in MB; on Linux, shared pages count once."""
    total = 0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended since it was listed
            memory = child.memory_full_info()
            total += getattr(memory, "pss", memory.uss)
    return total / 2**20


def run(
    profile: str = "demo",
    *,
    data_dir: str = "",
    work_dir: str = "",
    first: int = 1,
    last: int = len(STEPS),
    force: bool = False,
    optional: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Run steps `first` to `last` and return the work folder.

    With `optional`, chapters that no other step reads are run too. Raises UsageError, RootError or StepError,
    the last also while another run uses the work folder.
    """
    chosen = profile_named(profile).with_overrides(overrides or {}).located()
    asked = steps.steps_between(first, last, optional=optional)
    if not asked:
        raise UsageError(f"no step from {first} to {last}", hint=f"Steps are numbered 1 to {len(STEPS)}.")
    home = repository()
    if home is None:
        raise StepError(
            "no notebooks/ folder is here or above", where=Path.cwd(), hint="Run it in the repository."
        )
    work = resolve_work(chosen, work_dir)
    with sole_run(work):
        competition = resolve_competition(chosen, data_dir, work)
        if STEPS[-1] in asked:
            competition.test_study_ids()  # fail now if there are none, not after five steps
        parameters = {"profile": profile, "data_dir": str(competition.root), "work_dir": str(work)}
        parameters |= {name: getattr(chosen, name) for name in overrides or {}}
        Runner(chosen, home, work, parameters, competition.fingerprint(), force).run(asked)
        if asked[-1] is STEPS[-1]:
            _report(work, home / "submissions" if not work_dir else None)
    return work


def _report(work: Path, submissions: Path | None) -> None:
    """Print the submission's scores and path; copy it to `submissions` if that folder exists."""
    for line in score_lines(load_table(layout.SCORES.under(work))):
        tqdm.write(line)
    path = resolve_submission(work)
    if submissions and submissions.is_dir():
        with atomic_write(submissions / path.name) as draft:
            shutil.copyfile(path, draft)
        path = submissions / path.name
    tqdm.write(f"submission       {path}")


def score_lines(scores: pd.DataFrame) -> list[str]:
    """Lines with the scores and intervals of the submitted prediction, the oracle, the prior and 1/3."""
    rows = {row["prediction"]: row for row in scores.to_dict("records")}
    return [
        f"{text:16} {rows[name]['total']:.4f}  ({rows[name]['low']:.4f} to {rows[name]['high']:.4f})"
        for name, text in SHOWN_SCORES.items()
        if name in rows
    ]
