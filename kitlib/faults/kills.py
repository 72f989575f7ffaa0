"""Kill commands at random moments, or let them run out of disk space, and start them again."""

import hashlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kitlib.competition.root import Competition
from kitlib.competition.submission import validate_submission
from kitlib.errors import KitError, StepError
from kitlib.run import layout

KILLED, NO_ROOM, KILLED_THERE = "killed", "no room", "killed where there is no room"
TRIALS = 3  # endings at each moment
ROOM_BYTES = (2**8, 2**20)  # range of the file size limit
REFUSED = 2  # the exit code of a one-line error
SETTLE_S = 5.0  # for the children of a killed command to end by themselves
PATIENCE_S = 3600.0
DIE = "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
"""Startup code for a command's Python processes, so that a write beyond the limit kills them."""


@dataclass(frozen=True)
class Job:
    """A command that makes a submission."""

    name: str
    arguments: Callable[[Path], Sequence[str]]  # of `python -m kitlib`, in a folder
    out: str  # the submission, in that folder
    data: Path

    def start(
        self, folder: Path, room_bytes: int | None = None, first: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start the command in a folder, optionally with a limit on the size of any file it writes.

        Modules in the folder `first` are found before all others.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = [str(first)] if first else []
        if "PYTHONPATH" in os.environ:
            path.append(os.environ["PYTHONPATH"])
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "kitlib", *self.arguments(folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **({"PYTHONPATH": os.pathsep.join(path)} if path else {})},
            preexec_fn=None if room_bytes is None else partial(_limit, room_bytes),
        )

    def finish(self, folder: Path) -> tuple[int, str]:
        """Run the command to its end; returns the exit code and the sha256 of the submission."""
        process = self.start(folder)
        process.communicate(timeout=PATIENCE_S)
        return process.returncode, self.digest(folder)

    def digest(self, folder: Path) -> str:
        """The sha256 of the submission, "" if there is none."""
        with suppress(FileNotFoundError):
            return hashlib.sha256((folder / self.out).read_bytes()).hexdigest()
        return ""

    def is_whole(self, folder: Path) -> bool:
        """Whether there is no submission yet, or a complete one."""
        try:
            validate_submission(folder / self.out, Competition(self.data).test_study_ids())
        except KitError:
            return not (folder / self.out).exists()
        return True


@dataclass(frozen=True)
class Ending:
    """The outcome of one trial."""

    job: str
    fault: str
    at: str
    is_whole: bool  # it left no submission, or a complete one
    is_said: bool  # it ended with a one-line error or succeeded; always true if it was killed
    is_same: bool  # started again, it produced the same bytes as an undisturbed run


def predicting(data: Path) -> Job:
    """A job that predicts a competition with the shipped models."""
    return Job("predict", lambda folder: _predict(data, folder), "rows.csv", data)


def running(data: Path) -> Job:
    """A job that runs the six notebooks on a competition."""
    return Job("run", lambda folder: _run(data, folder), str(layout.SUBMISSION_CSV.under(Path())), data)


def endings(job: Job, moments: int, seed: int, folder: Path, after: int = 0) -> Iterator[Ending]:
    """Kill a command at random moments, let it run out of space, and let that kill it.

    That makes TRIALS endings a moment, of which the first `after` are left out.
    """
    rng = random.Random(f"{seed} {job.name}")
    started_s = time.monotonic()
    code, whole = job.finish(folder / f"{job.name}-whole")
    took_s = time.monotonic() - started_s
    if code or not whole:
        raise StepError(f"{job.name} does not end by itself, exit code {code}", where=folder)
    trials: list[Callable[[Job, Path, str], Ending]] = []
    for _ in range(moments):
        at_s = rng.uniform(0, took_s)
        room_bytes = int(2 ** rng.uniform(*(size.bit_length() - 1 for size in ROOM_BYTES)))
        trials.append(partial(_killed, at_s=at_s))
        trials += [partial(trial, room_bytes=room_bytes) for trial in (_without_room, _killed_there)]
    for number, trial in enumerate(trials[after:], after):
        here = folder / f"{job.name}-{number}"
        yield trial(job, here, whole)
        shutil.rmtree(here, ignore_errors=True)


def _killed(job: Job, folder: Path, whole: str, *, at_s: float) -> Ending:
    process = job.start(folder)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=at_s)
    process.kill()
    process.communicate()
    return _ended(job, folder, KILLED, f"{at_s:.1f} s", whole)


def _without_room(job: Job, folder: Path, whole: str, *, room_bytes: int) -> Ending:
    process = job.start(folder, room_bytes)
    said = process.communicate(timeout=PATIENCE_S)[1].decode(errors="replace").strip().splitlines()
    is_refused = process.returncode == REFUSED and "".join(said[-1:]).startswith("[")
    is_said = process.returncode == 0 or is_refused
    is_whole = job.is_whole(folder)
    same = job.finish(folder) == (0, whole)
    return Ending(job.name, NO_ROOM, f"{room_bytes} bytes a file", is_whole, is_said, same)


def _killed_there(job: Job, folder: Path, whole: str, *, room_bytes: int) -> Ending:
    with tempfile.TemporaryDirectory() as first:
        (Path(first) / "sitecustomize.py").write_text(DIE, encoding="ascii")
        job.start(folder, room_bytes, Path(first)).communicate(timeout=PATIENCE_S)
    return _ended(job, folder, KILLED_THERE, f"{room_bytes} bytes a file", whole)


def _ended(job: Job, folder: Path, fault: str, at: str, whole: str) -> Ending:
    """Check what a killed command left behind, and the result when it is started again."""
    is_whole = job.is_whole(folder)
    time.sleep(SETTLE_S)
    return Ending(job.name, fault, at, is_whole, True, job.finish(folder) == (0, whole))


def _limit(room_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, room_bytes))


def _predict(data: Path, folder: Path) -> list[str]:
    return ["predict", "--data", str(data), "--out", str(folder / "rows.csv")]


def _run(data: Path, folder: Path) -> list[str]:
    return ["run", "--profile", "smoke", "--data", str(data), "--work", str(folder)]
