"""Fits in separate processes: one that dies does not affect the others."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.embed.tokens import Tokens
from kitlib.experiments import parallel
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.fold import FoldTask
from kitlib.experiments.leaks import Split
from kitlib.experiments.parallel import TaskGroup, run_groups
from kitlib.experiments.status import DIED, failure
from kitlib.inputs.slices import SliceDataset
from kitlib.models.blind import PriorModel
from kitlib.terms import CELL_NAMES, SEQUENCES
from tests.models.builders import make_features, make_labels

CODES = make_labels(12)
FEATURES = make_features(CODES)
"""Arrays are in files, as in a run, and reach other processes memory-mapped."""
PATIENCE_S = 60.0


@dataclass
class Watched(PriorModel):
    """A prior that appends a line to a file of its name whenever it is fitted."""

    diary: str = ""

    def _fit(self, features: SliceDataset, labels: np.ndarray, seed: int) -> None:
        with open(self.diary, "a") as file:
            file.write("fitted\n")
        assert all(isinstance(bag.embeddings, np.memmap) for bags in features.tokens.values() for bag in bags)
        assert np.isfinite(features.tokens[SEQUENCES[0]][0].vectors).all()
        super()._fit(features, labels, seed)


@dataclass
class Innocent(Watched):
    """A model that fits slowly enough to be killed along with a guilty one that runs beside it."""

    def _fit(self, features: SliceDataset, labels: np.ndarray, seed: int) -> None:
        super()._fit(features, labels, seed)
        time.sleep(3)


@dataclass
class Guilty(Watched):
    """A model that kills its process, as if out of memory, while an innocent one is fitted."""

    def _fit(self, features: SliceDataset, labels: np.ndarray, seed: int) -> None:
        super()._fit(features, labels, seed)
        end_s = time.monotonic() + PATIENCE_S
        diaries = Path(self.diary), Path(self.diary).with_name("innocent")
        while len(set(map(lines, diaries))) > 1 and time.monotonic() < end_s:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


NAME2MODEL = {"innocent": Innocent, "guilty": Guilty, "later": Watched}


def stored(folder: Path) -> SliceDataset:
    """FEATURES, opened as a store does."""
    tokens = {}
    for sequence, bags in FEATURES.tokens.items():
        tokens[sequence] = []
        for study, bag in enumerate(bags):
            path = folder / f"{SEQUENCES.index(sequence)}_{study}.npy"
            np.save(path, bag.embeddings)
            tokens[sequence].append(Tokens(np.load(path, mmap_mode="r"), bag.positions_mm))
    return SliceDataset(FEATURES.study_ids, tokens, FEATURES.metadata)


def make_group(folder: Path, *names: str) -> TaskGroup:
    labels = pd.DataFrame(CODES, index=FEATURES.study_ids, columns=list(CELL_NAMES))
    folds = pd.Series([0, 1] * 6, index=labels.index)
    tasks = [
        FoldTask(
            Experiment(name, NAME2MODEL[name](diary=str(folder / name))),
            fold=0,
            folder=folder / f"of_{name}",
            made_from="",
            seed=0,
            keep_model=False,
        )
        for name in names
    ]
    return TaskGroup(tasks, Split(stored(folder), labels, folds, labels.index.to_series()))


@pytest.mark.slow
def test_a_fit_that_kills_its_process_is_noted_and_costs_no_other(tmp_path: Path) -> None:
    groups = [make_group(tmp_path, "innocent"), make_group(tmp_path, "guilty", "later")]
    run_groups(groups, workers=2)
    assert {name: lines(tmp_path / name) for name in NAME2MODEL} == {"innocent": 2, "guilty": 2, "later": 1}
    assert failure(tmp_path / "of_guilty") == DIED
    assert [task.is_done for group in groups for task in group.tasks] == [True, False, True]


def test_what_fits_share_is_made_of_the_whole_data_before_it_is_parted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = []

    def make_shared(self: Watched, data: SliceDataset) -> None:
        shared.append((self.diary, len(data)))
        raise MemoryError  # if it matters, the fit fails too

    monkeypatch.setattr(Watched, "make_shared", make_shared)
    sides = make_group(tmp_path, "innocent", "later").data()
    assert shared == [(str(tmp_path / name), 12) for name in ("innocent", "later")]
    assert (len(sides.train), len(sides.held_out)) == (6, 6)


def test_each_fit_is_given_the_gpu_of_its_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    @contextlib.contextmanager
    def one_gpu(number: int) -> Iterator[None]:
        given.append((number, lines(tmp_path / "later")))
        yield
        given.append((number, lines(tmp_path / "later")))

    monkeypatch.setattr(parallel, "one_gpu", one_gpu)
    group = make_group(tmp_path, "later")
    parallel.run_group([replace(task, fold=3) for task in group.tasks], group.data())
    assert given == [(3, 0), (3, 1)]
