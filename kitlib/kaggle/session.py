"""One Kaggle session on this machine: `python -m kitlib.kaggle.session PLAN.json` runs a notebook in it.

In its own namespaces (`unshare`), inputs are mounted read-only under /kaggle/input and there is no network.
Where namespaces are not allowed, inputs are links in a folder that stands in for /kaggle.
"""

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from kitlib.errors import KitError
from kitlib.kaggle.image import ABSENT
from kitlib.machine import end_with
from kitlib.run.execute import execute, own_kernel

UNSHARE = ("unshare", "--map-root-user", "--mount", "--net")
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def namespaces_allowed() -> bool:
    """Whether this user may create namespaces here and mount in them."""
    if not shutil.which(UNSHARE[0]) or not shutil.which("mount"):
        return False
    trial = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/tmp"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def main(plan_file: str) -> None:
    """Set up Kaggle's folders according to the plan, and run its notebook in the working folder.

    The process ends soon after its parent does.
    """
    end_with(os.getppid())
    plan = json.loads(Path(plan_file).read_text(encoding="utf-8"))
    root = Path(plan["root"])
    working = _mount_all(root, plan) if plan["isolated"] else _link_all(root, plan)
    absent = Path(plan["absent"])
    for name in ABSENT:
        (absent / f"{name}.py").write_text(f"raise ImportError('{name} is not on Kaggle')\n")
    os.environ["PYTHONPATH"] = str(absent)  # without the kit: the notebook has to find it among its inputs
    source, executed = Path(plan["notebook"]), Path(plan["executed"])
    with own_kernel():
        execute(source, executed, plan["parameters"], folder=working, cell_timeout_s=plan["timeout_s"])


def _mount_all(root: Path, plan: dict[str, Any]) -> Path:
    """Bind everything on this machine, and Kaggle's folders, under a new root, and make it this process's."""
    _call("mount", "-t", "tmpfs", "kitlib", root)
    for entry in Path("/").iterdir():
        if entry.is_symlink():
            (root / entry.name).symlink_to(entry.readlink())
        elif entry.is_dir() and entry.name != "kaggle":
            _bind(entry, root / entry.name)
    inputs = root / "kaggle" / "input"
    for name, source in plan["inputs"].items():
        _bind(Path(source), inputs / name)
        _call("mount", "-o", "remount,bind,ro", inputs / name)
    _bind(inputs, inputs)
    _call("mount", "-o", "remount,bind,ro", inputs)
    _bind(Path(plan["working"]), root / "kaggle" / "working")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # kernels need the loopback
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    os.chroot(root)
    os.chdir("/kaggle/working")
    return Path("/kaggle/working")


def _bind(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _call("mount", "--rbind", source, target)


def _link_all(root: Path, plan: dict[str, Any]) -> Path:
    places = {f"input/{name}": source for name, source in plan["inputs"].items()}
    for name, source in {**places, "working": plan["working"]}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(source)
    return root / "working"


def _call(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KitError as error:
        sys.exit(str(error))
