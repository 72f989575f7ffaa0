"""The crops of all studies, located and cut once from prepared volumes and kept with their geometry."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, facts_of, fingerprint, is_complete, sha256
from kitlib.localise.geometry import disc_frames
from kitlib.localise.heatmaps import of_plane
from kitlib.localise.localiser import worker_localiser
from kitlib.localise.network import SHIPPED
from kitlib.localise.points import Located, Point
from kitlib.localise.prior import place2plane, place2sequence
from kitlib.machine import retire_workers
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.stack import Stack
from kitlib.prepare.crops import PX_MM, SLICES, Crop, crop_landmarks, load_crops, save_crops
from kitlib.prepare.volumes import VolumeCache
from kitlib.terms import LEVELS, Landmark

RECIPE = 1
"""To be raised when crops are cut otherwise, so that caches of before are made again."""


def study_crops(
    series: Mapping[int, Sequence[Stack]],
    sequences: Mapping[int, str],
    located: Located,
    ledger: Ledger,
    *,
    study_id: int | None = None,
    slices: int = SLICES[0],
    px_mm: float = PX_MM,
) -> list[Crop]:
    """Crops around a study's graded landmarks, turned with their level.

    Each is cut from the sequence that its condition is graded on, or from the plane where that is missing.
    """
    graded = [point for point in located.points if point.landmark.level in LEVELS]
    frames = disc_frames(
        {
            point.landmark.level: point.patient_mm
            for point in located.points
            if point.landmark.landmark == "canal" and point.confidence > 0
        }
    )
    crops = []
    for place in place2sequence:
        places_mm = {point.landmark: point.patient_mm for point in graded if point.landmark.landmark == place}
        stacks = _graded_on(place, series, sequences)
        crops += crop_landmarks(
            places_mm, stacks, ledger, frames=frames, study_id=study_id, slices=slices, px_mm=px_mm
        )
    return crops


class CropCache:
    """A folder of crops, `<study_id>.npy` a study, cut from the volumes of a `VolumeCache`."""

    def __init__(
        self, folder: Path, volumes: VolumeCache, *, slices: int = SLICES[0], px_mm: float = PX_MM
    ) -> None:
        self.folder, self.volumes, self.slices, self.px_mm = Path(folder), volumes, slices, px_mm

    def build(self, series: pd.DataFrame, *, workers: int = 1) -> Ledger:
        """Locate and crop each study of `series` (study_id, series_id, sequence) that is not there yet.

        The volumes must have been built. Returns the faults of all studies, those of earlier builds included:
        `landmarks.prior` where nothing was found and the usual places stood in.
        """
        studies: dict[int, dict[int, str]] = {}
        for study_id, series_id, sequence in zip(
            *(series[name] for name in ("study_id", "series_id", "sequence"))
        ):
            studies.setdefault(int(study_id), {})[int(series_id)] = sequence
        todo = [one for one in studies if not self._is_current(one, studies[one])]
        retire_workers()
        with tqdm(total=len(studies), initial=len(studies) - len(todo), desc="crops", mininterval=1) as bar:
            made = Parallel(n_jobs=workers, return_as="generator_unordered")(
                delayed(self._make)(study_id, studies[study_id]) for study_id in todo
            )
            for _ in made:
                bar.update()
        return self._ledger(studies)

    def crops(self, study_id: int) -> list[Crop]:
        """The crops of a study, memory-mapped; ArtefactError where it was not built."""
        return load_crops(self._path(study_id))

    def guessed(self, study_id: int) -> list[Landmark]:
        """The landmarks of a study that nobody found, cropped where they usually are."""
        return [Landmark(*one) for one in facts_of(self._path(study_id))["guessed"]]

    def _make(self, study_id: int, sequences: Mapping[int, str]) -> None:
        ledger = Ledger()
        stacks = {one: self.volumes.stacks(study_id, one) for one in sequences}
        located = worker_localiser().locate_study(stacks, sequences, ledger, study_id=study_id, fill=True)
        cuts = study_crops(
            stacks, sequences, located, ledger, study_id=study_id, slices=self.slices, px_mm=self.px_mm
        )
        facts = {
            "state": self._state(study_id, sequences),
            "guessed": [list(one.landmark) for one in _guessed(located.points)],
            "faults": [dataclasses.asdict(fault) for fault in ledger],
        }
        provenance = Provenance({"slices": self.slices, "px_mm": self.px_mm}, {"localiser": _weights()})
        save_crops(self._path(study_id), cuts, provenance, **facts)

    def _path(self, study_id: int) -> Path:
        return self.folder / f"{int(study_id)}.npy"

    def _is_current(self, study_id: int, sequences: Mapping[int, str]) -> bool:
        path = self._path(study_id)
        return is_complete(path) and facts_of(path)["state"] == self._state(study_id, sequences)

    def _state(self, study_id: int, sequences: Mapping[int, str]) -> str:
        """Changes when the study's volumes, the localiser, what is asked for or the recipe do."""
        prints = [(one, sequences[one], self.volumes.fingerprint(study_id, one)) for one in sorted(sequences)]
        return fingerprint(RECIPE, self.slices, self.px_mm, _weights(), prints)

    def _ledger(self, studies: Iterable[int]) -> Ledger:
        ledger = Ledger()
        for study_id in studies:
            faults = facts_of(self._path(study_id))["faults"]
            ledger.extend(Fault(**{**one, "row_ids": tuple(one["row_ids"])}) for one in faults)
        return ledger


def _graded_on(
    place: str, series: Mapping[int, Sequence[Stack]], sequences: Mapping[int, str]
) -> list[Stack]:
    """The stacks of a place's plane, those of its own sequence alone where there are any."""
    planes = {one: of_plane(stacks, place2plane[place]) for one, stacks in series.items()}
    own = [stack for one in planes if sequences.get(one) == place2sequence[place] for stack in planes[one]]
    return own or [stack for stacks in planes.values() for stack in stacks]


def _guessed(points: Iterable[Point]) -> list[Point]:
    return [point for point in points if point.confidence == 0 and point.landmark.level in LEVELS]


@cache
def _weights() -> str:
    return sha256(SHIPPED)
