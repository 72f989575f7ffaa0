"""The crops of all studies, located and cut once from prepared volumes and kept with their geometry."""

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, facts_of, fingerprint, sha256
from kitlib.localise.geometry import disc_axes
from kitlib.localise.localiser import worker_localiser
from kitlib.localise.network import SHIPPED
from kitlib.localise.points import Located, canal_of, graded_on, place2sequence
from kitlib.machine import retire_workers
from kitlib.mri.ledger import Ledger
from kitlib.mri.stack import Stack
from kitlib.mri.study import Study
from kitlib.prepare.crops import PX_MM, SLICES, Crop, crop_landmarks, load_crops, save_crops
from kitlib.prepare.studies import PreparedStudies
from kitlib.prepare.volumes import faults_in, is_current
from kitlib.terms import LEVELS, Landmark, Place

RECIPE = 1
"""To be raised when crops are cut otherwise, so that caches of before are made again."""


def study_crops(
    study: Study, located: Located, ledger: Ledger, *, slices: int = SLICES[0], px_mm: float = PX_MM
) -> list[Crop]:
    """Crops around a study's graded landmarks, turned with their level.

    Each is cut from the sequence that its condition is graded on, or from the plane where that is missing.
    """
    axes = disc_axes(canal_of(point for point in located.points if point.confidence > 0))
    options: dict[str, Any] = {"axes": axes, "study_id": study.study_id, "slices": slices, "px_mm": px_mm}
    crops = []
    for place in place2sequence:
        own = [point for point in located.points if point.landmark.place == place]
        points_mm = {point.landmark: point.patient_mm for point in own if point.landmark.level in LEVELS}
        crops += crop_landmarks(points_mm, _graded_stacks(place, study), ledger, **options)
    return crops


class CropCache:
    """A folder of crops, `<study_id>.npy` a study, cut from prepared studies."""

    def __init__(
        self, folder: Path, studies: PreparedStudies, *, slices: int = SLICES[0], px_mm: float = PX_MM
    ) -> None:
        self.folder, self.studies, self.slices, self.px_mm = Path(folder), studies, slices, px_mm

    def build(self, *, workers: int = 1) -> Ledger:
        """Locate and crop each study that is not there yet.

        Returns the faults of all studies, those of earlier builds included: `landmarks.prior` where nothing
        was found and the usual points stood in.
        """
        known = self.studies.study_ids
        todo = [study_id for study_id in known if not is_current(self._path(study_id), self._state(study_id))]
        retire_workers()
        made = Parallel(n_jobs=workers, return_as="generator_unordered")(
            delayed(self._of(study_id)._make)(study_id) for study_id in todo
        )
        for _ in tqdm(made, "crops", len(known), initial=len(known) - len(todo), mininterval=1):
            pass
        ledger = Ledger()
        for study_id in known:
            ledger.extend(faults_in(facts_of(self._path(study_id))))
        return ledger

    def crops(self, study_id: int) -> list[Crop]:
        """The crops of a study, memory-mapped; ArtefactError where it was not built."""
        return load_crops(self._path(study_id))

    def guessed(self, study_id: int) -> list[Landmark]:
        """The landmarks of a study that nobody found, cropped where they usually are."""
        return [Landmark(*landmark) for landmark in facts_of(self._path(study_id))["guessed"]]

    def _of(self, study_id: int) -> "CropCache":
        """The cache of one study: what a worker needs of it."""
        return CropCache(self.folder, self.studies.of([study_id]), slices=self.slices, px_mm=self.px_mm)

    def _make(self, study_id: int) -> None:
        ledger, study = Ledger(), self.studies.study(study_id)
        located = worker_localiser().locate_study(study, ledger, fill=True)
        crops = study_crops(study, located, ledger, slices=self.slices, px_mm=self.px_mm)
        guessed = [point.landmark for point in located.points if point.confidence == 0]
        save_crops(
            self._path(study_id),
            crops,
            Provenance({"slices": self.slices, "px_mm": self.px_mm}, {"localiser": _weights()}),
            state=self._state(study_id),
            guessed=[list(landmark) for landmark in guessed if landmark.level in LEVELS],
            faults=[dataclasses.asdict(fault) for fault in ledger],
        )

    def _path(self, study_id: int) -> Path:
        return self.folder / f"{int(study_id)}.npy"

    def _state(self, study_id: int) -> str:
        """Changes when the study's volumes, the localiser, what is asked for or the recipe do."""
        study = self.studies.of([study_id]).fingerprint
        return fingerprint(RECIPE, self.slices, self.px_mm, _weights(), study)


def _graded_stacks(place: Place, study: Study) -> list[Stack]:
    """The stacks of a place's plane, those of its own sequence alone where there are any."""
    shown = graded_on(place, study)
    own = [stack for series in shown if series.sequence == place2sequence[place] for stack in series.stacks]
    return own or [stack for series in shown for stack in series.stacks]


@cache
def _weights() -> str:
    return sha256(SHIPPED)
