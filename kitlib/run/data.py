"""Locate a run's data, results and notebooks, and lock its work folder."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from tqdm.auto import tqdm

import kitlib
from kitlib.artefacts import sweep
from kitlib.competition.root import KAGGLE_INPUT, Competition, find_root
from kitlib.errors import DataError, RootError, StepError
from kitlib.machine import KAGGLE, on_kaggle, retire_workers
from kitlib.phantom.truth import VERSION, differences, read_marker
from kitlib.run import layout
from kitlib.run.profiles import Profile
from kitlib.run.steps import STEPS

KAGGLE_WORKING = KAGGLE / "working"
LOCK_FILE = "run.lock"
CACHE = "KITLIB_CACHE"
"""Environment variable: the cache folder, if runs share one."""
LAST_TABLE = "sample_submission.csv"  # the last one that write_competition writes
ATTACHED_DEPTH = 4
"""Kernel outputs are mounted at input/<slug> or input/notebooks/<owner>/<slug>, or one folder deeper."""


def repository() -> Path | None:
    """The folder that holds `notebooks/`: the current one, a parent, or the kit's own; else None."""
    here = Path.cwd()
    folders = (here, *here.parents, Path(kitlib.__file__).parents[1])
    return next((folder for folder in folders if (folder / "notebooks" / STEPS[0].notebook).is_file()), None)


def resolve_work(profile: Profile, work_dir: str = "") -> Path:
    """The work folder: the one given, Kaggle's, or `work/<profile>` in the repository or current folder."""
    if work_dir:
        return Path(work_dir).expanduser().resolve()
    if on_kaggle():
        return KAGGLE_WORKING
    return (repository() or Path.cwd()) / "work" / profile.name


def resolve_cache(work: Path) -> Path:
    """The folder for large files that can be recreated.

    The one named by the environment variable CACHE, else a temporary folder on Kaggle and the work folder
    elsewhere.
    """
    if shared := os.environ.get(CACHE):
        return Path(shared)
    return Path(tempfile.gettempdir()) / "kitlib" if on_kaggle() else work


def resolve_submission(work: Path) -> Path:
    """The path of the submission: in the last step's folder, or on Kaggle where the scorer expects it."""
    return KAGGLE_WORKING / "submission.csv" if on_kaggle() else layout.SUBMISSION_CSV.under(work)


@contextlib.contextmanager
def sole_run(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; raises StepError, naming the holder, if another process has the lock.

    Processes started by the holder belong to its run, such as a notebook that runs the steps before it. The
    lock file stays, but the operating system releases the lock when the process ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK_FILE, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read()
            if holder not in (str(one.pid) for one in psutil.Process().parents()):
                raise StepError(
                    f"another run, process {holder}, is using this folder",
                    where=folder,
                    hint="Wait until it ends, or name another folder with --work.",
                ) from None
        else:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            _sweep(folder)
        yield


def _sweep(work: Path) -> None:
    """Remove partly written files of dead processes; drawing phantoms cleans up its own folder."""
    for place, folders, files in os.walk(work):
        folders[:] = [name for name in folders if name != layout.PHANTOMS]
        sweep(Path(place, name) for name in files)


def attached_results() -> list[Path]:
    """Work folders of earlier kernels attached to this one on Kaggle."""
    folders = _mounted(KAGGLE_INPUT, ATTACHED_DEPTH) if on_kaggle() else ()
    return sorted(folder for folder in folders if any(folder.glob("steps/0*.json")))


def _mounted(folder: Path, depth: int) -> Iterator[Path]:
    """Sub-folders down to `depth`, skipping image folders, which hold thousands on a network mount."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # a link to itself
                if entry.is_dir() and not entry.name.endswith("_images"):
                    yield Path(entry.path)
                    yield from _mounted(Path(entry.path), depth - 1) if depth > 1 else ()


def resolve_competition(profile: Profile, data_dir: str, work: Path) -> Competition:
    """The competition given or mounted, else phantoms in `<work>/phantoms`, drawn with a notice if new."""
    if data_dir:
        return find_root(Path(data_dir).expanduser())
    try:
        return find_root()
    except RootError as error:
        if not profile.phantom_studies:
            raise
        reason = f"{error.where}: {error.what}"
    return Competition(_phantoms(profile, work / layout.PHANTOMS, reason))


def _phantoms(profile: Profile, folder: Path, reason: str) -> Path:
    """The profile's phantoms, drawn if absent or unfinished; raises DataError if the folder holds others."""
    request: dict[str, Any] = {
        "studies": profile.phantom_studies,
        "test_studies": profile.phantom_test_studies,
        "seed": profile.seed,
        "size": profile.phantom_size,
    }
    if made := read_marker(folder):
        if others := differences(made, request | {"version": VERSION}):
            raise DataError(  # never replaced: results in this work folder were made on them
                f"the folder holds other phantoms: {others}",
                where=folder,
                hint="Name another work folder (--work), or delete these phantoms to draw new ones.",
            )
        if (folder / LAST_TABLE).is_file():
            return folder
    from kitlib.phantom.archive import write_competition

    tqdm.write(f"No competition data ({reason}); the kit makes its own phantoms in {folder}")
    made_in = write_competition(folder, **request, workers=profile.workers)
    retire_workers()  # or they would hold memory while the notebooks run
    return made_in
