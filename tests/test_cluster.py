"""Calls on a cluster's workers: as in local processes, and none is lost with a worker.

Without Dask, tests that need a scheduler are skipped.
"""

import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from joblib import delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from kitlib import cluster, code
from kitlib.cluster import MAPPED, dumps, perform
from kitlib.errors import ExtraMissingError, UsageError
from kitlib.machine import CLUSTER, CORES, cores, in_processes

NO_DASK = 'Dask is not installed: pip install "kitlib[cluster]"'
# Dask ignores these itself; here every warning is an error.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def workers() -> Iterator[None]:
    pytest.importorskip("distributed", reason=NO_DASK)
    from dask import config

    with config.set({"distributed.scheduler.allowed-failures": 1}), cluster.cluster("local:2"):
        yield


@pytest.fixture
def as_worker(monkeypatch, tmp_path) -> Path:
    """Restore what `perform` changes in this process."""
    for name in (CLUSTER, CORES):
        monkeypatch.setenv(name, "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("address", ["nonsense", "local:0", "local:two", "tcp://host"])
def test_what_is_no_cluster_is_refused(address):
    with pytest.raises(UsageError, match="tcp://HOST:PORT or local:N"), cluster.cluster(address):
        pass


@pytest.mark.parametrize("address", ["local:2", "tcp://127.0.0.1:1"])
def test_without_dask_the_extra_is_named(monkeypatch, address):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExtraMissingError, match=r"kitlib\[cluster\]"), cluster.cluster(address):
        pass


def test_no_cluster_is_no_change():
    with cluster.cluster(""):
        assert CLUSTER not in os.environ


def test_a_call_is_made_in_the_folder_of_its_caller_on_one_core_and_by_its_worker(as_worker, monkeypatch):
    monkeypatch.setenv(CLUSTER, "tcp://nowhere:1")
    (as_worker / "below").mkdir()
    here = delayed(lambda number: (number, Path.cwd(), cores(), os.environ.get(CLUSTER)))(3)
    assert perform(dumps(here, reducers=MAPPED), str(as_worker / "below")) == (
        3,
        as_worker / "below",
        1,
        None,
    )


def test_a_folder_that_a_worker_does_not_see_is_told(as_worker):
    with pytest.raises(UsageError, match="does not see this folder"):
        perform(dumps(delayed(abs)(1)), str(as_worker / "elsewhere"))


def test_mapped_arrays_travel_as_the_names_of_their_files(tmp_path):
    whole = np.arange(200_000, dtype=np.float32).reshape(-1, 2)
    np.save(tmp_path / "file.npy", whole)
    part = np.load(tmp_path / "file.npy", mmap_mode="r")[1000:, 1]
    packed = dumps([part, part[3:]], reducers=MAPPED)
    assert len(packed) < 2000
    for received, sent in zip(pickle.loads(packed), (part, part[3:])):
        np.testing.assert_array_equal(received, sent)
        assert not received.flags.writeable


def after(number: int, pause_s: float) -> int:
    time.sleep(pause_s)
    return number


@pytest.mark.slow
@pytest.mark.usefixtures("workers")
def test_calls_on_a_cluster_keep_their_order_and_raise_here():
    pauses_s = (0.2, 0.1, *[0] * 30)
    calls = [delayed(after)(number, pause_s) for number, pause_s in enumerate(pauses_s)]
    assert list(in_processes(calls, 1)) == list(range(32))
    assert sorted(in_processes(calls, 1, ordered=False)) == list(range(32))
    assert list(in_processes([], 1)) == []
    assert os.getpid() not in set(in_processes((delayed(os.getpid)() for _ in range(4)), 1))
    with pytest.raises(UsageError, match="what"):
        list(in_processes([delayed(refuse)()], 1))


def refuse() -> None:
    raise UsageError("what", where="where")


def end_once(number: int, ended: Path) -> int:
    if number == 3 and not ended.exists():
        ended.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def end_always() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("workers")
def test_nothing_is_lost_with_a_worker(tmp_path):
    calls = (delayed(end_once)(number, tmp_path / "ended") for number in range(12))
    assert list(in_processes(calls, 1)) == list(range(12))
    assert (tmp_path / "ended").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("workers")
def test_a_call_that_ends_every_worker_is_told_as_by_joblib():
    with pytest.raises(
        TerminatedWorkerError, match="every worker"
    ):  # with joblib's backend this waits for ever
        list(in_processes([delayed(end_always)()], 1))


@pytest.mark.slow
def test_workers_that_end_too_late_change_nothing_of_what_is_done(monkeypatch):
    distributed = pytest.importorskip("distributed", reason=NO_DASK)
    kill = distributed.Nanny.kill

    async def late(self, *how, **more):
        await kill(self, *how, **more)
        raise TimeoutError

    monkeypatch.setattr(distributed.Nanny, "kill", late)
    before = os.environ.get(CLUSTER)
    with cluster.cluster("local:1"):
        assert list(in_processes([delayed(abs)(-1)], 1)) == [1]
    assert os.environ.get(CLUSTER) == before


def test_what_the_work_raises_is_raised_however_the_cluster_ends(monkeypatch):
    def close():
        raise TimeoutError

    local = SimpleNamespace(scheduler_address="tcp://here:1", shutdown_on_close=True, close=close)
    dask = SimpleNamespace(LocalCluster=lambda *_, **__: local)
    monkeypatch.setattr(cluster, "_distributed", lambda: dask)
    with pytest.raises(KeyError, match="of the work"), cluster._started(1):
        raise KeyError("of the work")
    assert not local.shutdown_on_close  # with which Dask closes it again at exit


def test_an_address_that_does_not_answer_is_told_soon(monkeypatch):
    pytest.importorskip("distributed", reason=NO_DASK)
    monkeypatch.setattr(cluster, "ANSWER_S", 0.5)
    with socket.socket() as closed:  # bound, but not listening
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UsageError, match="no scheduler answers") as raised:
            cluster.connected(address)
    assert address in str(raised.value)


def test_workers_of_other_code_are_refused_though_their_version_is_the_same(monkeypatch, tmp_path):
    (tmp_path / "grade.py").write_text("SEVERE = 2")
    kits = {"tcp://here:1": code.KIT, "tcp://other:1": tmp_path}

    def run(call):
        results = {}
        for worker, kit in kits.items():
            with monkeypatch.context() as there:
                there.setattr(code, "KIT", kit)
                code.library_code.cache_clear()
                results[worker] = call()
                code.library_code.cache_clear()
        return results

    client = SimpleNamespace(nthreads=lambda: dict.fromkeys(kits, 1), run=run)
    assert cluster._trouble(client) == "a worker of the cluster has another version of kitlib's code"
    del kits["tcp://other:1"]
    assert cluster._trouble(client) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "message"), [({}, "has no worker"), ({"threads": {"nthreads": 2}}, "several threads")]
)
def test_a_cluster_that_cannot_do_the_work_is_told(workers, message, monkeypatch):
    pytest.importorskip("distributed", reason=NO_DASK)
    monkeypatch.setattr(cluster, "ANSWER_S", 2.0)
    from distributed import Scheduler, SpecCluster, Worker

    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
    workers = {name: {"cls": Worker, "options": options} for name, options in workers.items()}
    with SpecCluster(workers, scheduler) as started, pytest.raises(UsageError, match=message):
        cluster.connected(started.scheduler_address)
