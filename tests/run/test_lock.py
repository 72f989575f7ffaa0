import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kitlib.errors import StepError
from kitlib.run.lock import sole_run

HOLD = """
import sys, time
from pathlib import Path
from kitlib.run.lock import sole_run
with sole_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_process_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(StepError, match=f"another run, process {other.pid}, works here"),
            sole_run(tmp_path),
        ):
            pass
        other.send_signal(signal.SIGKILL)
    with sole_run(tmp_path):
        assert (tmp_path / "run.lock").read_text() == str(os.getpid())


def test_a_folder_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), sole_run(tmp_path):
        raise ValueError("inside")
    with sole_run(tmp_path):
        pass
