"""Run calls on a Dask cluster instead of local processes, inside `cluster(...)`.

The workers must see this machine's files under the same paths and have the same kitlib; each makes one call
at a time, on one core. A call is retried if its worker dies.
"""

import contextlib
import logging
import os
import pickle
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from joblib._memmapping_reducer import reduce_array_memmap_backward
from joblib.externals.loky.backend.reduction import dumps
from joblib.externals.loky.process_executor import TerminatedWorkerError

from kitlib.code import library_code
from kitlib.errors import ExtraMissingError, StepError, UsageError
from kitlib.machine import CLUSTER, CORES, environment, limit_threads

LOCAL = re.compile(r"local:([1-9]\d*)")
ADDRESS = re.compile(r"\w+://.+:\d+")
ANSWER_S = 5.0
AHEAD = 4
"""Calls queued per worker: enough that none is idle, few enough to be dropped."""
MAPPED = dict.fromkeys((np.ndarray, np.memmap), reduce_array_memmap_backward)
"""How arrays are pickled: a memory-mapped one as its file's path, as loky does."""


@contextlib.contextmanager
def cluster(named: str) -> Iterator[None]:
    """Make `in_processes` run its calls on a cluster inside the block; an empty name changes nothing.

    `tcp://host:port` is a running scheduler; `local:N` starts one here with N workers for the block. Raises
    UsageError if it does not answer or cannot be used, and ExtraMissingError without Dask.
    """
    with contextlib.ExitStack() as stack:
        if local := LOCAL.fullmatch(named):
            named = stack.enter_context(_started(int(local[1])))
        if named:
            stack.enter_context(connected(named))
            stack.callback(connected.cache_clear)
            stack.enter_context(environment(**{CLUSTER: named}))
        yield


@contextlib.contextmanager
def _started(workers: int) -> Iterator[str]:
    """Start a local scheduler with workers, yield its address, and shut them down after the block.

    An error while shutting down is ignored: it changes neither the block's results nor its exceptions.
    """
    local = _distributed().LocalCluster(
        workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        memory_limit=0,  # as with joblib: Dask would kill a worker that takes more than its share
        silence_logs=logging.CRITICAL,  # exceptions of calls are raised here
    )  # fmt: skip
    try:
        yield local.scheduler_address
    finally:
        try:
            local.close()
        except Exception:  # TimeoutError if a busy machine takes five seconds to end a worker
            local.shutdown_on_close = False  # or this process would try again at exit, for ten seconds


@cache
def connected(scheduler: str) -> Any:
    """Connect to a scheduler; raises UsageError if none answers or its workers cannot be used."""
    hint = "Start one with `dask scheduler` and `dask worker ADDRESS --nworkers -1 --nthreads 1`."
    if not ADDRESS.fullmatch(scheduler):
        raise UsageError("a cluster is tcp://HOST:PORT or local:N", where=scheduler, hint=hint)
    try:
        client = _distributed().Client(scheduler, timeout=ANSWER_S, set_as_default=False)
    except (OSError, MemoryError) as error:  # no server, or one that speaks another protocol
        raise UsageError("no scheduler answers at this address", where=scheduler, hint=hint) from error
    try:
        client.wait_for_workers(1, timeout=ANSWER_S)
    except TimeoutError as error:
        client.close()
        raise UsageError("the cluster has no worker", where=scheduler, hint=hint) from error
    if trouble := _trouble(client):
        client.close()
        raise UsageError(trouble, where=scheduler, hint=hint)
    return client


def _trouble(client: Any) -> str:
    """Why the workers of a cluster cannot be used by this process, "" if they can."""
    if max(client.nthreads().values()) > 1:
        return "a worker of the cluster has several threads, and each call needs its own process"
    try:
        codes = set(client.run(library_code).values())
    except Exception as error:  # whatever the import raises
        return f"a worker of the cluster cannot import kitlib: {type(error).__name__}: {error}"
    return "" if codes == {library_code()} else "a worker of the cluster has another version of kitlib's code"


def on_cluster(calls: Iterable[Any], scheduler: str, *, ordered: bool) -> Iterator[Any]:
    """Run joblib `delayed` calls on a cluster's workers and yield their results; see `in_processes`.

    Raises TerminatedWorkerError, once the running calls are done, if a call has killed several workers.
    """
    done = _done(enumerate(calls), connected(scheduler))
    return _in_order(done) if ordered else (result for _, result in done)


def _in_order(numbered: Iterator[tuple[int, Any]]) -> Iterator[Any]:
    waiting: dict[int, Any] = {}
    wanted = 0
    for number, result in numbered:
        waiting[number] = result
        while wanted in waiting:
            yield waiting.pop(wanted)
            wanted += 1


def _done(calls: Iterator[tuple[int, Any]], client: Any) -> Iterator[tuple[int, Any]]:
    """Yield results with the numbers of their calls, as they complete."""
    distributed = _distributed()
    finished = distributed.as_completed(loop=client.loop, with_results=True, raise_errors=False)
    folder, numbers = str(Path.cwd()), {}
    killed: Exception | None = None

    def hand_over(count: int) -> None:
        for number, call in islice(calls, count):
            future = client.submit(perform, dumps(call, reducers=MAPPED), folder, pure=False)
            numbers[future] = number
            finished.add(future)

    hand_over(AHEAD * len(client.nthreads()))
    for future, result in finished:
        number, error = numbers.pop(future), result[1] if future.status == "error" else None
        if isinstance(error, distributed.KilledWorker):
            killed = error  # let the other running calls finish first
        elif error is not None:
            raise error
        elif future.status != "finished":
            raise StepError("the scheduler of the cluster has stopped", where=client.scheduler.address)
        else:
            hand_over(0 if killed else 1)
            yield number, result
    if killed:
        raise TerminatedWorkerError("a call has killed every worker that ran it") from killed


def perform(call: bytes, folder: str) -> Any:
    """Make a call on a worker as a local process would: in the caller's folder, on one core, no cluster."""
    os.environ.pop(CLUSTER, None)
    os.environ[CORES] = "1"
    limit_threads()  # of libraries loaded later, such as torch; Dask's nanny limits those of numpy
    try:
        os.chdir(folder)
    except OSError:
        raise UsageError(
            "a worker of the cluster does not see this folder", where=folder, hint="Share it at this path."
        ) from None
    function, arguments, keywords = pickle.loads(call)
    return function(*arguments, **keywords)


def _distributed() -> Any:
    try:
        import distributed  # late: it is optional
    except ImportError:
        raise ExtraMissingError(
            "clusters need Dask, which is not installed", hint='pip install "kitlib[cluster]"'
        ) from None
    return distributed
