"""A Dask cluster in place of this machine's processes: calls go there inside `cluster(...)`.

Its workers see the files of this machine under the same names, hold the same kitlib, and do one call at a
time, on one core. A call is sent again where its worker has died.
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
"""Calls that lie ready for each worker: enough that none waits, few enough to be forgotten."""
MAPPED = dict.fromkeys((np.ndarray, np.memmap), reduce_array_memmap_backward)
"""How arrays travel, by type: one that is mapped from a file as the file's name, as loky sends it."""


@contextlib.contextmanager
def cluster(named: str) -> Iterator[None]:
    """Let `in_processes` hand its calls to a cluster inside the block; as before where none is named.

    `tcp://host:port` is a scheduler that runs; `local:N` starts one here with N workers, for the block.
    UsageError where it does not answer or cannot be used, ExtraMissingError without Dask.
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
    """The address of a scheduler that is started here with its workers, and ended with them.

    How it ends decides nothing: what the block has done is done, and what it raises is raised.
    """
    local = _distributed().LocalCluster(
        workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        memory_limit=0,  # as with joblib: Dask would end a worker that takes more than its share
        silence_logs=logging.CRITICAL,  # what a call raises is raised here
    )  # fmt: skip
    try:
        yield local.scheduler_address
    finally:
        try:
            local.close()
        except Exception:  # TimeoutError, where a busy machine takes five seconds to end a worker
            local.shutdown_on_close = False  # or this process tries again before it ends, for ten


@cache
def connected(scheduler: str) -> Any:
    """The client of a scheduler; UsageError where none answers, or its workers do not suit."""
    hint = "Start one by `dask scheduler` and `dask worker ADDRESS --nworkers -1 --nthreads 1`."
    if not ADDRESS.fullmatch(scheduler):
        raise UsageError("a cluster is tcp://HOST:PORT or local:N", where=scheduler, hint=hint)
    try:
        client = _distributed().Client(scheduler, timeout=ANSWER_S, set_as_default=False)
    except (OSError, MemoryError) as error:  # nobody, or somebody who takes a greeting for a length
        raise UsageError("no scheduler of a cluster answers", where=scheduler, hint=hint) from error
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
    """Why the workers of a cluster cannot work for this process, "" where they can."""
    if max(client.nthreads().values()) > 1:
        return "a worker of the cluster has several threads, and calls need a process each"
    try:
        codes = set(client.run(library_code).values())
    except Exception as error:  # whatever goes wrong where it is imported
        return f"a worker of the cluster cannot import kitlib: {type(error).__name__}: {error}"
    return "" if codes == {library_code()} else "a worker of the cluster has other modules of kitlib"


def on_cluster(calls: Iterable[Any], scheduler: str, *, ordered: bool) -> Iterator[Any]:
    """What joblib's `delayed` calls return, made by a cluster's workers; see `in_processes`.

    TerminatedWorkerError, once the calls at work are done, where one has ended several workers.
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
    """Results with the numbers of their calls, as they are done."""
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
            killed = error  # other calls are at work: they end first
        elif error is not None:
            raise error
        elif future.status != "finished":
            raise StepError("the scheduler of the cluster is gone", where=client.scheduler.address)
        else:
            hand_over(0 if killed else 1)
            yield number, result
    if killed:
        raise TerminatedWorkerError("a call has ended every worker that it was given to") from killed


def perform(call: bytes, folder: str) -> Any:
    """Make a call on a worker as a process of the caller would: in its folder, on one core, by itself."""
    os.environ.pop(CLUSTER, None)
    os.environ[CORES] = "1"
    limit_threads()  # of what loads later, such as torch; numpy has loaded, and Dask's nanny limits its
    try:
        os.chdir(folder)
    except OSError:
        raise UsageError(
            "a worker of the cluster does not see this folder", where=folder, hint="Share it under its name."
        ) from None
    function, arguments, keywords = pickle.loads(call)
    return function(*arguments, **keywords)


def _distributed() -> Any:
    try:
        import distributed  # late: it is optional
    except ImportError:
        raise ExtraMissingError(
            "clusters are Dask's, which is not installed", hint='pip install "kitlib[cluster]"'
        ) from None
    return distributed
