"""Prepared volumes: each series read once, as 8-bit greyscale of bounded size, with its geometry."""

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import delayed
from tqdm.auto import tqdm

from kitlib.artefacts import (
    Provenance,
    facts_of,
    fingerprint,
    fingerprint_of,
    is_complete,
    load_array,
    save_array,
)
from kitlib.machine import cores, in_processes
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.naming import in_plane
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack
from kitlib.mri.study import note_missing_sequences
from kitlib.prepare.grey import greyscale

RECIPE = 3
"""Increase this when the output of `prepare` changes, so that older caches are rebuilt."""


def prepare(stacks: Sequence[Stack], longest_px: int) -> list[Stack]:
    """Convert stacks to upright uint8 greys with sides of at most `longest_px`, cached or streamed alike."""
    return [
        dataclasses.replace(stack, pixels=greyscale(stack.pixels)).fitted(longest_px)
        for stack in map(Stack.upright, stacks)
    ]


def end_to_end(stacks: Sequence[Stack]) -> np.ndarray:
    """Concatenate the pixels of stacks of one type, all uint8 or all float32, to one flat array."""
    return np.concatenate([*(stack.pixels.reshape(-1) for stack in stacks), np.empty(0, np.uint8)])


def stacks_in(path: Path, shapes: Sequence[Sequence[int]], geometries: Sequence[Any]) -> list[Stack]:
    """The stacks that a file holds end to end, memory-mapped; the inverse of `end_to_end`."""
    if not shapes:
        return []  # an empty file cannot be mapped
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    flat = np.split(load_array(path, mmap=True), ends[:-1])
    return [
        Stack.from_geometry(pixels.reshape(shape), geometry)
        for pixels, shape, geometry in zip(flat, shapes, geometries)
    ]


def is_current(path: Path, state: str) -> bool:
    """Whether a cached file exists and was made from the same state; older files may record none."""
    return is_complete(path) and facts_of(path).get("state") == state


def faults_in(facts: Mapping[str, Any]) -> list[Fault]:
    """The faults recorded when a cached file was made."""
    return [Fault(**{**fault, "row_ids": tuple(fault["row_ids"])}) for fault in facts["faults"]]


class VolumeCache:
    """A folder of prepared series: `<study_id>/<series_id>.npy` holds all stacks of a series, end to end."""

    def __init__(self, folder: Path, *, longest_px: int) -> None:
        self.folder, self.longest_px = Path(folder), longest_px

    def build(self, series: pd.DataFrame, *, workers: int = 1) -> Ledger:
        """Prepare each row of `series` (study_id, series_id, sequence, folder) that is not yet cached.

        Returns the faults of all rows, including those found by earlier builds. A series is rebuilt when its
        sequence, or its files' names, sizes or times, have changed.
        """
        columns = ["study_id", "series_id", "folder", "sequence"]
        rows = list(series[columns].itertuples(index=False, name=None))
        states = {row: self._state(Path(row[2]), row[3]) for row in rows}
        todo = [row for row in rows if not is_current(self._path(*row[:2]), states[row])]
        threads = max(1, cores() // workers)
        made = in_processes(
            (delayed(self._make)(*row, states[row], threads) for row in todo), workers, ordered=False
        )
        for _ in tqdm(made, "volumes", len(rows), initial=len(rows) - len(todo), mininterval=1):
            pass
        return self._ledger(rows)

    def stacks(self, study_id: int, series_id: int) -> list[Stack]:
        """The prepared stacks of a series, memory-mapped, largest first; [] if nothing was readable.

        Raises ArtefactError if the series was not built.
        """
        path = self._path(study_id, series_id)
        facts = facts_of(path)
        return stacks_in(path, facts["shapes"], facts["geometries"])

    def fingerprint(self, study_id: int, series_id: int) -> str:
        """The sha256 of a prepared series."""
        return fingerprint_of(self._path(study_id, series_id))

    def _make(
        self, study_id: int, series_id: int, folder: str, sequence: str, state: str, threads: int
    ) -> None:
        ledger = Ledger()
        provenance = Provenance({"longest_px": self.longest_px}, {"files": state})
        read = read_series(folder, ledger, study_id=study_id, series_id=series_id, threads=threads)
        kept, others = in_plane(read, sequence)
        ledger.extend(dataclasses.replace(fault, study_id=study_id, series_id=series_id) for fault in others)
        stacks = prepare(kept, self.longest_px)
        save_array(
            self._path(study_id, series_id),
            end_to_end(stacks),
            provenance,
            state=state,
            shapes=[stack.pixels.shape for stack in stacks],
            geometries=[stack.geometry() for stack in stacks],
            faults=[dataclasses.asdict(fault) for fault in ledger],
        )

    def _path(self, study_id: int, series_id: int) -> Path:
        return self.folder / str(int(study_id)) / f"{int(series_id)}.npy"

    def _state(self, folder: Path, sequence: str) -> str:
        """Changes when the series' files, its sequence, the requested size or RECIPE do."""
        stats = []
        with contextlib.suppress(OSError):  # unreadable files are reported when the series is read
            files = sorted(file for file in folder.iterdir() if file.is_file())
            stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return fingerprint(RECIPE, self.longest_px, sequence, stats)

    def _ledger(self, rows: list[tuple[int, int, str, str]]) -> Ledger:
        """The faults recorded when each series was made, and the sequences that studies lack."""
        ledger = Ledger()
        readable: dict[int, set[str]] = {}
        for study_id, series_id, _, sequence in rows:
            facts = facts_of(self._path(study_id, series_id))
            ledger.extend(faults_in(facts))
            readable.setdefault(study_id, set()).update([sequence] if facts["shapes"] else [])
        for study_id, sequences in readable.items():
            note_missing_sequences(study_id, sequences, ledger)
        return ledger
