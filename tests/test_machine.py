"""Machine capabilities, tested without trusting what the machine reports."""

import contextlib
import getpass
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from joblib import delayed

from kitlib import machine

KITLIB = Path(machine.__file__).parent
RUN = """
import os, sys, time
from joblib import delayed
from kitlib.machine import in_processes

def work(folder):
    open(f"{folder}/{os.getpid()}", "x").close()
    time.sleep(300)

list(in_processes((delayed(work)(sys.argv[1]) for _ in range(9)), 2))
"""


WITHOUT_SHARED_MEMORY = """
import _multiprocessing, errno

class Refused(_multiprocessing.SemLock):
    def __new__(cls, *arguments, **keywords):
        raise OSError(errno.EROFS, "Read-only file system")

_multiprocessing.SemLock = Refused
from joblib import delayed
from kitlib.machine import in_processes, retire_workers

print(list(in_processes((delayed(abs)(number) for number in (-1, -2)), 2)))
retire_workers()
"""


@pytest.fixture
def no_cache():
    """Clear the cached device before and after a test that fakes another machine."""
    for asked in (machine.device, machine.half_precision):
        asked.cache_clear()
    yield
    for asked in (machine.device, machine.half_precision):
        asked.cache_clear()


@pytest.fixture
def nameless(monkeypatch):
    """A user id that is not in /etc/passwd, without environment variables that name the user."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)

    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("home", [None, ".", "/nowhere"])
def test_a_user_without_name_and_home_gets_both(monkeypatch, home):
    if home is not None:
        monkeypatch.setenv("HOME", home)
    machine.settle_user()
    assert getpass.getuser() == str(os.getuid())
    assert os.access(Path.home(), os.W_OK)
    given = os.environ["HOME"]
    machine.settle_user()  # a child keeps its parent's value
    assert os.environ["HOME"] == given != home


@pytest.mark.usefixtures("nameless")
def test_a_home_that_cannot_be_written_stays_but_matplotlib_writes_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    machine.settle_user()
    assert "MPLCONFIGDIR" not in os.environ
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    machine.settle_user()
    assert os.environ["HOME"] == str(tmp_path)
    assert Path(os.environ["MPLCONFIGDIR"]).is_dir()


def test_a_user_with_name_and_home_keeps_them(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "somebody")
    before = dict(os.environ)
    machine.settle_user()
    assert os.environ == before


def test_a_process_of_the_kit_may_open_as_many_files_as_the_system_allows():
    import_kitlib = "import resource, kitlib; print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    command = ["bash", "-c", f"ulimit -Sn 256; ulimit -Hn 4000; {sys.executable} -c '{import_kitlib}'"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=KITLIB.parent, check=True)
    assert done.stdout.split() == ["4000", "4000"]


def test_without_shared_memory_there_are_no_processes_and_work_is_done():
    # As where /dev/shm is read-only or absent: there is no semaphore, and joblib warns of it.
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT_SHARED_MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, cwd=KITLIB.parent)
    assert (done.stdout, done.stderr) == ("[1, 2]\n", "")


def feign_cuda(monkeypatch, capability):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(
    ("capability", "kind"),
    [(None, "cpu"), ((6, 0), "cpu"), ((7, 0), "cuda"), ((7, 5), "cuda"), ((9, 0), "cuda")],
)
def test_a_gpu_that_this_torch_has_no_kernels_for_is_not_used(monkeypatch, capability, kind):
    feign_cuda(monkeypatch, capability)
    assert machine.device().type == kind


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(
    ("capability", "files", "chosen"),
    [
        ((7, 5), ["nvidia0", "nvidia1", "nvidiactl"], [0, 1, 0]),
        ((7, 5), ["nvidia0", "nvidiactl"], []),
        ((6, 0), ["nvidia0", "nvidia1"], []),
        (None, [], []),
    ],
)
def test_folds_share_out_several_gpus(monkeypatch, tmp_path, capability, files, chosen):
    feign_cuda(monkeypatch, capability)
    for name in files:
        (tmp_path / name).touch()
    asked = []
    monkeypatch.setattr(machine, "GPU_FILES", tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", lambda index: asked.append(index) or contextlib.nullcontext())
    for fold in range(3):
        with machine.one_gpu(fold):
            pass
    assert asked == chosen


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(
    ("capability", "bfloat16_cpu", "dtype"),
    [
        ((7, 5), True, torch.float16),
        ((8, 0), False, torch.bfloat16),
        (None, True, torch.bfloat16),
        (None, False, None),
        ((6, 0), False, None),
    ],
)
def test_the_fast_16_bit_type(monkeypatch, capability, bfloat16_cpu, dtype):
    feign_cuda(monkeypatch, capability)
    monkeypatch.setattr(machine, "_cpu_has_bfloat16", lambda: bfloat16_cpu)
    assert machine.half_precision() is dtype


@pytest.mark.parametrize(("flags", "has"), [("avx2 avx512_bf16", True), ("amx_bf16", True), ("avx2", False)])
def test_the_flags_of_the_processor_tell_of_bfloat16(monkeypatch, tmp_path, flags, has):
    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags}\n")
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    assert machine._cpu_has_bfloat16() is has


def test_calm_threads_respects_what_the_user_set(monkeypatch):
    for name in (*machine.THREAD_VARIABLES, "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    machine.limit_threads(2)
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert os.environ["MKL_NUM_THREADS"] == "2"
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_torch_threads_are_given_back_even_after_an_error():
    before = torch.get_num_threads()
    inside = []

    def fail() -> None:
        with machine.torch_threads(before + 1):
            inside.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == [before + 1]
    assert torch.get_num_threads() == before


def test_cores_and_memory_are_plausible():
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)
    first = machine.peak_memory_mb()
    assert 10 < first < 1e6
    assert machine.peak_memory_mb() >= first


def test_kaggle_is_known_by_its_variable(monkeypatch):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    assert not machine.on_kaggle()
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert machine.on_kaggle()


def test_the_peak_starts_anew_where_the_system_can():
    block = bytearray(200 * 2**20)
    block[::4096] = b"1" * len(block[::4096])
    high = machine.peak_memory_mb()
    del block
    if not machine.reset_peak_memory():
        pytest.skip("this system keeps the peak")
    assert machine.peak_memory_mb() < high - 100


def after(number, pause_s):
    time.sleep(pause_s)
    return number


@pytest.mark.parametrize("threads", [1, 3])
def test_mapping_in_threads_keeps_the_order_and_ends_with_the_block(threads):
    before = threading.active_count()
    with machine.threaded(threads) as each:
        found = list(each(after, range(4), (0.03, 0.02, 0.01, 0)))
    assert found == [0, 1, 2, 3]
    assert threading.active_count() == before


def test_what_fails_in_a_thread_fails_here():
    with pytest.raises(ZeroDivisionError), machine.threaded(2) as each:
        list(each(lambda number: 1 // number, [1, 0]))


@pytest.mark.parametrize("workers", [1, 2])
def test_calls_in_processes_keep_their_order(workers):
    pauses_s = (0.03, 0.02, 0.01, 0)
    calls = [delayed(after)(number, pause_s) for number, pause_s in enumerate(pauses_s)]
    assert list(machine.in_processes(calls, workers)) == [0, 1, 2, 3]
    assert sorted(machine.in_processes(calls, workers, ordered=False)) == [0, 1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        list(machine.in_processes([delayed(divmod)(1, 0)], workers))


def is_alive(process):
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_processes_of_a_killed_run_end_by_themselves(tmp_path):
    with subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)]) as run:
        while len(at_work := [int(path.name) for path in tmp_path.iterdir()]) < 2:
            time.sleep(0.05)
            assert run.poll() is None
        run.send_signal(signal.SIGKILL)
    end_s = time.monotonic() + 10
    while any(map(is_alive, at_work)) and time.monotonic() < end_s:
        time.sleep(0.1)
    assert [process for process in at_work if is_alive(process)] == []


def test_processes_are_started_in_one_place():
    found = [path.name for path in KITLIB.rglob("*.py") if "Parallel(" in path.read_text(encoding="utf-8")]
    assert found == ["machine.py"]


def test_a_call_is_repeated_while_the_block_runs_and_never_after() -> None:
    calls: list[int] = []

    def fail_later() -> None:
        with machine.repeating(lambda: calls.append(1), every_s=0.001):
            while len(calls) < 3:
                time.sleep(0.001)
            raise KeyError

    with pytest.raises(KeyError):
        fail_later()
    count = len(calls)
    time.sleep(0.02)
    assert len(calls) == count


def test_what_fails_while_it_is_repeated_is_raised_when_the_block_ends() -> None:
    called = threading.Event()

    def fail() -> None:
        called.set()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), machine.repeating(fail, every_s=0.001):
        called.wait(10)


def test_another_folder_stands_for_kaggles_where_a_session_is_rehearsed(tmp_path):
    code = "from kitlib.machine import KAGGLE; print(KAGGLE)"
    for name, folder in ({}, "/kaggle"), ({"KITLIB_KAGGLE": str(tmp_path)}, str(tmp_path)):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **name},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.strip() == folder
