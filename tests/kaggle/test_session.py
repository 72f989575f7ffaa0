import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from kitlib.kaggle import session
from kitlib.kaggle.session import UNSHARE, namespaces_allowed
from tests.kaggle.builders import ends_soon
from tests.run.builders import make_notebook

HOME = Path(__file__).parents[2]
LOOK = """
import json, os
from pathlib import Path
kaggle = Path(os.environ.get("KITLIB_KAGGLE", "/kaggle"))
seen = {"cwd": os.getcwd(), "inputs": os.listdir(kaggle / "input"), "PYTHONPATH": os.environ["PYTHONPATH"]}
seen["text"] = (kaggle / "input/given/file.txt").read_text()
for name, place in (("write", "given/new.txt"), ("add", "new.txt")):
    try:
        seen[name] = (kaggle / "input" / place).write_text("spoilt")
    except OSError as error:
        seen[name] = error.errno
try:
    import openvino
except ImportError as error:
    seen["openvino"] = str(error)
seen["routes"] = Path("/proc/self/net/route").read_text().splitlines()[1:]
Path("seen.json").write_text(json.dumps(seen))
"""


SLEEP = """
import os, time
from pathlib import Path
Path("pid.part").write_text(f"{os.getppid()} {os.getpid()}")
Path("pid.part").rename("pid.txt")
time.sleep(60)
"""
REHEARSE = """
import subprocess, sys
subprocess.run([sys.executable, "-m", "kitlib.kaggle.session", sys.argv[1]])
"""


def write_plan(folder: Path, source: str, isolated: bool) -> dict[str, str]:
    """A session's plan with everything it names, and the variables that the session needs."""
    plan: dict[str, object] = {"isolated": isolated, "parameters": {}, "timeout_s": 60}
    for name in ("root", "working", "absent", "given"):
        (folder / name).mkdir()
        plan[name] = str(folder / name)
    (folder / "given" / "file.txt").write_text("as it was")
    nbformat.write(make_notebook(source), folder / "look.ipynb")
    plan |= {"inputs": {"given": plan["given"]}, "notebook": str(folder / "look.ipynb")}
    plan["executed"] = str(folder / "executed.ipynb")
    (folder / "plan.json").write_text(json.dumps(plan))
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    environment |= {} if isolated else {"KITLIB_KAGGLE": str(folder / "root")}
    return environment


def run_session(folder: Path, source: str, isolated: bool) -> subprocess.CompletedProcess[str]:
    environment = write_plan(folder, source, isolated)
    command = [*(UNSHARE if isolated else ()), sys.executable, "-m", "kitlib.kaggle.session"]
    return subprocess.run(
        [*command, str(folder / "plan.json")], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_in_namespaces_inputs_cannot_be_written_and_no_network_is_there(tmp_path: Path) -> None:
    if not namespaces_allowed():
        pytest.skip("namespaces are not allowed here")
    ran = run_session(tmp_path, LOOK, isolated=True)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads((tmp_path / "working" / "seen.json").read_text())
    assert seen["cwd"] == "/kaggle/working"
    assert seen["inputs"] == ["given"]
    assert seen["text"] == "as it was"
    assert seen["write"] == seen["add"] == errno.EROFS
    assert seen["routes"] == []
    assert seen["openvino"] == "openvino is not on Kaggle"
    assert str(HOME) not in seen["PYTHONPATH"]
    assert not (tmp_path / "given" / "new.txt").exists()


@pytest.mark.slow
def test_without_namespaces_a_folder_stands_for_kaggle_and_a_failure_is_one_line(tmp_path: Path) -> None:
    ran = run_session(tmp_path, f"{LOOK}\n1 / 0", isolated=False)
    assert ran.returncode == 1
    assert ran.stderr.strip().splitlines()[-1].startswith("[step] a cell failed: ZeroDivisionError")
    seen = json.loads((tmp_path / "working" / "seen.json").read_text())
    assert seen["cwd"] == str(tmp_path / "working")
    assert seen["text"] == "as it was"
    assert seen["openvino"] == "openvino is not on Kaggle"


@pytest.mark.slow
def test_a_session_ends_with_a_rehearsal_that_is_killed(tmp_path: Path) -> None:
    environment, written = write_plan(tmp_path, SLEEP, isolated=False), tmp_path / "working" / "pid.txt"
    command = [sys.executable, "-c", REHEARSE, str(tmp_path / "plan.json")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as rehearsal:
        while not written.is_file():
            assert rehearsal.poll() is None
            time.sleep(0.05)
        rehearsal.kill()
    session_and_kernel = map(int, written.read_text().split())
    assert [ends_soon(pid) for pid in session_and_kernel] == [True, True]


def test_without_the_tool_namespaces_are_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.shutil, "which", lambda _: None)
    assert not namespaces_allowed()


def test_where_the_system_refuses_them_namespaces_are_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.shutil, "which", lambda name: name)
    monkeypatch.setattr(session, "UNSHARE", ("false",))
    assert not namespaces_allowed()
