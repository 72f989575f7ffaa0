"""One run at a time in a folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from kitlib.errors import StepError

LOCK_FILE = "run.lock"


@contextlib.contextmanager
def sole_run(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; StepError, naming the other process, while one holds it.

    The file stays, the lock does not: the system takes it from a process that ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK_FILE, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StepError(
                f"another run, process {file.read()}, works here",
                where=folder,
                hint="Wait for its end, or name another folder by --work.",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
