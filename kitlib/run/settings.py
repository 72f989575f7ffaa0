"""First and last call of a notebook: `begin` turns its variables into settings, `finish` marks it done."""

import dataclasses
import platform
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance
from kitlib.competition.root import Competition
from kitlib.errors import StepError, UsageError, known_name
from kitlib.machine import cores, device, limit_threads, on_kaggle
from kitlib.phantom.truth import MARKER
from kitlib.run import data, steps
from kitlib.run.layout import File
from kitlib.run.profiles import Profile, profile_named

PLACES = ("profile", "data_dir", "work_dir")
IPYTHON_NAMES = ("In", "Out")
PARAMETER_TYPES = (str, int, float, bool)

thread_failures: list[str] = []
"""Exceptions that ended a thread since `begin`; papermill does not notice them."""


@dataclass(frozen=True)
class Settings:
    """A notebook's settings: its step, profile, data and folders."""

    step: steps.Step
    profile: Profile
    competition: Competition
    work_dir: Path
    started_s: float
    attached: tuple[Path, ...] = ()

    @property
    def roots(self) -> tuple[Path, ...]:
        """The work folders that may hold results of earlier steps, its own first."""
        return (self.work_dir, *self.attached)

    @property
    def own_folder(self) -> Path:
        """The folder for this step's results."""
        return self.work_dir / self.step.name

    @property
    def submission(self) -> Path:
        """The path of the submission."""
        return data.resolve_submission(self.work_dir)

    def cache(self, file: File) -> Path:
        """The path of a large file that can be recreated; on Kaggle outside the working folder."""
        return file.under(data.resolve_cache(self.work_dir))

    def need(self, file: File, **parts: str) -> Path:
        """A file of an earlier step, here or in attached results; raises StepError if it is missing."""
        for root in self.roots:
            if (path := file.under(root, **parts)).exists():
                return path
        raise StepError(
            f"{self.step.name} needs {file.name.format(**parts)!r} from {file.step}",
            where=file.under(self.work_dir, **parts),
            hint=f"Run {file.step} first.",
        )

    def own(self, file: File, **parts: str) -> Path:
        """The path at which this step writes a file that others read."""
        return file.under(self.work_dir, **parts)

    @property
    def is_phantom(self) -> bool:
        """Whether the data are the kit's own phantoms."""
        return (self.competition.root / MARKER).is_file()

    def provenance(self, **inputs: str) -> Provenance:
        """Provenance of what this notebook writes; `inputs` are fingerprints by name."""
        return Provenance(self.profile.results(), inputs, self.profile.seed, self.started_s)


def begin(step: str, names: Mapping[str, Any]) -> Settings:
    """Check a notebook's variables, find its data, and run missing earlier steps; call it with `globals()`.

    Raises UsageError on a variable that is not a parameter, RootError if there is no data, and StepError if
    an earlier step is missing and fails or has no notebook here.
    """
    limit_threads()
    values = _parameters(names)
    overrides = {name: value for name, value in values.items() if name not in PLACES}
    profile = profile_named(values.get("profile", "demo")).with_overrides(overrides)
    work = data.resolve_work(profile, values.get("work_dir", ""))
    competition = data.resolve_competition(profile, values.get("data_dir", ""), work)
    attached = tuple(data.attached_results())
    settings = Settings(steps.step_named(step), profile, competition, work, time.time(), attached)
    _run_earlier(settings, overrides)
    settings.own_folder.mkdir(parents=True, exist_ok=True)
    steps.manifest_path(work, step).unlink(missing_ok=True)
    _watch_threads()
    return settings


def finish(settings: Settings) -> None:
    """Write the step's manifest, as the last call of a notebook; raises StepError if a thread died before."""
    if thread_failures:
        raise StepError(f"an exception ended a thread: {thread_failures[0]}", where=settings.step.name)
    written = steps.outputs(settings.own_folder)
    inputs = steps.read_fingerprints(settings.step, *settings.roots)
    record = settings.provenance(**inputs).record()
    record["data"] = {"name": settings.competition.root.name, "is_phantom": settings.is_phantom}
    record["machine"] = machine_in_words()
    steps.write_manifest(settings.work_dir, settings.step.name, {"outputs": written, **record})
    size_mb = sum(facts["bytes"] for facts in written.values()) / 2**20
    tqdm.write(
        f"{settings.step.name} is done: {len(written)} files, {size_mb:.1f} MB in {settings.own_folder}, "
        f"{record['wall_s']:.0f} s, peak memory {record['peak_memory_mb']} MB"
    )


def machine_in_words() -> dict[str, str]:
    """System, cores, memory and accelerator as text, without the names of the machine and its user."""
    # Torch is not imported just for this: a process that has not imported it has used no accelerator.
    used = "torch" in sys.modules and device().type == "cuda"
    accelerator = sys.modules["torch"].cuda.get_device_name() if used else "none used"
    memory_gb = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    kaggle = {"session": "Kaggle"} if on_kaggle() else {}
    return {
        "system": system, "cores": str(cores()), "memory": f"{memory_gb:.0f} GB", "accelerator": accelerator,
        **kaggle,
    }  # fmt: skip


def _parameters(names: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook's parameters among its globals; raises UsageError on a variable that is not one."""
    known = [*PLACES, *(entry.name for entry in dataclasses.fields(Profile) if entry.name != "name")]
    if any(isinstance(value, Settings) for value in names.values()):
        # The cell is being rerun, with variables of later cells around, such as `profile = settings.profile`.
        profile = names.get("profile")
        again = {name: names[name] for name in known if isinstance(names.get(name), PARAMETER_TYPES)}
        return again | ({"profile": profile.name} if isinstance(profile, Profile) else {})
    variables = {name: value for name, value in names.items() if _is_variable(name, value, known)}
    for name, value in variables.items():
        known_name(name, known, "parameter")
        if name in PLACES and not isinstance(value, str):
            raise UsageError(f"parameter {name!r} must be text, and {value!r} is {type(value).__name__}")
    return variables


def _is_variable(name: str, value: Any, known: list[str]) -> bool:
    """Whether the user set it: not a module, function, class, IPython name or imported constant."""
    is_code = isinstance(value, types.ModuleType) or callable(value)
    is_constant = name.isupper() and name.lower() not in known
    return not (is_code or is_constant or name.startswith("_") or name in IPYTHON_NAMES)


def _run_earlier(settings: Settings, overrides: Mapping[str, Any]) -> None:
    """Run earlier steps whose results this one reads and that are missing; StepError without notebooks."""
    roots = settings.roots
    missing = [name for name in settings.step.reads if not any(steps.done(root, name) for root in roots)]
    if not missing:
        return
    home = data.repository()
    if home is None:
        raise StepError(
            f"{settings.step.name} reads results of {' and '.join(missing)}, which are missing",
            where=settings.work_dir,
            hint="Attach the output of those notebooks, or set work_dir to the folder that holds it.",
        )
    first, last = (steps.step_named(name).number for name in (missing[0], settings.step.reads[-1]))
    names = ", ".join(step.name for step in steps.steps_between(first, last))
    tqdm.write(f"{settings.step.name} needs results that do not exist yet; running first: {names}")
    command = [sys.executable, "-u", "-m", "kitlib", "run", "--profile", settings.profile.name]
    command += ["--from", str(first), "--to", str(last)]
    command += ["--work", str(settings.work_dir), "--data", str(settings.competition.root)]
    command += [word for name, value in overrides.items() for word in ("-p", f"{name}={value}")]
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=errors, text=True) as running:
            for line in running.stdout or ():  # one line per finished step
                tqdm.write(line.rstrip())
        if running.returncode:
            errors.seek(0)
            lines = errors.read().strip().splitlines() or [f"exit code {running.returncode}"]
            raise StepError(f"an earlier step failed: {lines[-1]}", where=names)


def _watch_threads() -> None:
    """Record exceptions that end a thread from now on, and still report them as before."""
    thread_failures.clear()
    if getattr(threading.excepthook, "func", None) is not _record:  # the cell may have run before
        threading.excepthook = partial(_record, threading.excepthook)


def _record(report: Callable[[threading.ExceptHookArgs], Any], args: threading.ExceptHookArgs) -> None:
    thread_failures.append(f"{args.exc_type.__name__}: {args.exc_value}")
    report(args)
