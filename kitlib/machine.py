"""The machine: threads, processes, memory, an accelerator that really runs, and whether this is Kaggle."""

import atexit
import contextlib
import getpass
import os
import re
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Map = Callable[..., Iterator[Any]]
"""The built-in `map`, or one that runs its calls elsewhere."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# torch 2.10 has no kernels for Pascal: a P100 reports CUDA as available and fails at the first operation.
OLDEST_CUDA_CAPABILITY = (7, 0)
CPU_INFO = Path("/proc/cpuinfo")
GPU_FILES = Path("/dev")
KAGGLE = Path(os.environ.get("KITLIB_KAGGLE", "/kaggle"))
"""Kaggle's root folder; overridden when a session is rehearsed without mounts."""
CORES = "KITLIB_CORES"
CLUSTER = "KITLIB_CLUSTER"
"""Environment variables: this process's share of the cores, and the scheduler that calls are sent to."""
MOST_FILES = 2**20
ORPHAN_S = 1.0  # between checks that the parent process still runs


def settle_user() -> None:
    """Give this process and its children a user name and a home folder if the system provides none.

    A user id that is not in /etc/passwd, as with `docker run --user 54321`, has neither; torch needs the
    name and Jupyter the home. A home created here is deleted when this process ends.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = str(os.getuid())
    home = Path()
    with contextlib.suppress(RuntimeError):
        home = Path.home()
    is_home = home.is_absolute() and home.is_dir()
    if is_home and (os.access(home, os.W_OK | os.X_OK) or "MPLCONFIGDIR" in os.environ):
        return
    with contextlib.suppress(OSError):  # no temporary folder either: whatever needs one reports it
        folder = tempfile.mkdtemp(prefix="kitlib-home-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        # A read-only home is kept: it may hold weights. Only matplotlib must write to it, and warns.
        os.environ["MPLCONFIGDIR" if is_home else "HOME"] = folder


def open_more_files() -> None:
    """Raise the limit on open files, usually 1,024, to the system's maximum, for children too.

    Each memory-mapped array keeps its file open, and a dataset has one per series.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # a system that reports no limit may still have one
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST_FILES)), hard))


def limit_threads(threads: int = 1) -> None:
    """Give OpenMP pools of this process and its children `threads` threads that sleep when idle.

    Call it before importing numpy, torch or LightGBM: on two cores, two processes with two busy-waiting
    threads each ran five times slower than with one thread each. A number set by the user is kept.
    """
    for name in THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables inside the block."""
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)


def cores() -> int:
    """The number of cores this process may use: its share if it runs beside others of a cluster."""
    if share := os.environ.get(CORES):
        return int(share)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def device() -> "torch.device":
    """The accelerator if it can run this torch, else the CPU."""
    import torch

    if torch.cuda.is_available() and torch.cuda.get_device_capability() >= OLDEST_CUDA_CAPABILITY:
        return torch.device("cuda")
    return torch.device("cpu")


@contextlib.contextmanager
def one_gpu(number: int) -> Iterator[None]:
    """Compute on one of several GPUs inside the block, assigned round-robin by `number`.

    This spreads folds that run in parallel processes over the GPUs. With fewer than two GPUs it does
    nothing, and does not import torch to find that out.
    """
    if len([*GPU_FILES.glob("nvidia[0-9]*")]) < 2 or device().type == "cpu":
        yield
        return
    import torch

    with torch.cuda.device(number % torch.cuda.device_count()):
        yield


@cache
def half_precision() -> "torch.dtype | None":
    """The 16-bit type that is fast here: bfloat16, float16 on GPUs without it, or None."""
    import torch

    if device().type == "cuda":
        # is_bf16_supported() is also true where bfloat16 is emulated, as on a T4.
        return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    return torch.bfloat16 if _cpu_has_bfloat16() else None


@contextlib.contextmanager
def threaded(threads: int) -> Iterator[Map]:
    """Yield a `map` that splits calls over this thread and `threads` - 1 others; results stay in order."""
    if threads == 1:
        yield map
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        yield partial(_shared, pool, threads)


def _shared(pool: ThreadPoolExecutor, threads: int, call: Callable, *iterables: Iterable) -> Iterator[Any]:
    """Give each thread one share of the calls: submitting each call would cost as much as running it."""
    tasks = list(zip(*iterables))
    shares = [tasks[first::threads] for first in range(threads)]
    elsewhere = [pool.submit(_called, call, share) for share in shares[1:]]
    done = [_called(call, shares[0]), *(future.result() for future in elsewhere)]
    results: list[Any] = [None] * len(tasks)
    for first, share in enumerate(done):
        results[first::threads] = share
    return iter(results)


def _called(call: Callable, tasks: Iterable[tuple]) -> list[Any]:
    return [call(*task) for task in tasks]


@contextlib.contextmanager
def repeating(call: Callable[[], None], every_s: float = 0.5) -> Iterator[None]:
    """Call `call` repeatedly in a thread while the block runs; its error is raised at the end."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every_s):
            call()

    with ThreadPoolExecutor(1) as thread:
        repeated = thread.submit(repeat)
        try:
            yield
        finally:
            ended.set()
        repeated.result()


@contextlib.contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use `threads` threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far, in MB."""
    # On Linux getrusage starts from the peak of the parent process.
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        if found := re.search(r"^VmHWM:\s*(\d+)", status, re.MULTILINE):
            return int(found[1]) / 1024.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024.0**2 if sys.platform == "darwin" else 1024.0)


def reset_peak_memory() -> bool:
    """Restart `peak_memory_mb` from the memory resident now; False if the system does not support it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def in_processes(calls: Iterable[Any], workers: int, *, ordered: bool = True) -> Iterator[Any]:
    """Yield the results of joblib `delayed` calls, run in `workers` processes that end soon after this one.

    Results come in the order of the calls or, unless `ordered`, as they finish. What a call raises is raised
    here. If a cluster is set (see `kitlib.cluster`), all its processes are used, however many.
    """
    if scheduler := os.environ.get(CLUSTER):
        from kitlib.cluster import on_cluster  # joblib takes a second to import

        return on_cluster(calls, scheduler, ordered=ordered)
    from joblib import Parallel

    how = "generator" if ordered else "generator_unordered"
    return Parallel(workers, return_as=how, initializer=end_with, initargs=(os.getpid(),))(calls)


def end_with(process: int) -> None:
    """Make this process end within seconds of its parent `process`, whatever it is doing.

    Otherwise the workers of a killed run finish their tasks and then wait minutes for more.
    """

    def watch() -> None:
        while os.getppid() == process:
            time.sleep(ORPHAN_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def retire_workers() -> None:
    """End joblib's idle processes, which keep their memory for minutes.

    A process that was started for small work and loads torch later also looks like a memory leak to joblib,
    which replaces it with a warning.
    """
    from joblib.externals.loky import get_reusable_executor

    with contextlib.suppress(OSError):  # no shared memory for workers: joblib then runs in this process
        get_reusable_executor().shutdown()


def on_kaggle() -> bool:
    """Whether this is a Kaggle session."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def _cpu_has_bfloat16() -> bool:
    with contextlib.suppress(OSError):
        flags = CPU_INFO.read_text(encoding="ascii", errors="replace")
        return any(flag in flags for flag in ("avx512_bf16", "amx_bf16"))
    return False
