"""Cut crops: localise a study and cut a view around each place; those of many studies are cached."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from joblib import delayed
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, facts_of, fingerprint, load_array, save_array, sha256
from kitlib.inputs.base import Encoder
from kitlib.inputs.crops import UNSEEN, CropDataset, CropInput, StudyCrops
from kitlib.localise.contrast import contradicted_by_canal
from kitlib.localise.geometry import disc_axes
from kitlib.localise.localiser import Localiser, shipped_localiser, worker_localiser
from kitlib.localise.network import SHIPPED
from kitlib.localise.points import Located, canal_of
from kitlib.machine import in_processes, retire_workers
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.study import Study
from kitlib.prepare.studies import PreparedStudies
from kitlib.prepare.views import MARGIN_PX, SLOTS, cut_slots, slot2cell, slot2sequence
from kitlib.prepare.volumes import faults_in, is_current
from kitlib.terms import CELLS, SEQUENCES, group2sequence, landmark_of, row_id


def cut_study(study: Study, localiser: Localiser, slices: int) -> StudyCrops:
    """Locate a study's places and cut their views.

    Places that are not found are cut where they usually are, with a fault that names the rows graded there:
    all rows if the localiser abstains. Faults also report places that no slice of their own sequence shows,
    and series whose pixels contradict their description.
    """
    ledger = Ledger()
    located = localiser.locate_study(study, ledger, fill=True)
    found = {point.landmark for point in located.points if point.confidence > 0 and not located.abstained}
    doubted = tuple(row_id(study.study_id, cell) for cell in CELLS if landmark_of(cell) not in found)
    crops = cut_located(study, located, slices)
    faults = [replace(fault, row_ids=() if fault.series_id else doubted) for fault in ledger]
    return replace(crops, faults=(*faults, *_unseen(study, crops), *_contradicted(study, located)))


def _contradicted(study: Study, located: Located) -> Iterator[Fault]:
    """Yield a fault for each series that is not as described, by the brightness of the canal."""
    canal_mm = {} if located.abstained else canal_of(located.points)
    for series_id in contradicted_by_canal(study, canal_mm):
        detail = "T1 is described as T2, or T2 as T1, by its pixels"
        yield Fault("series.contradicted", "read as described", study.study_id, series_id, detail=detail)


def _unseen(study: Study, crops: StudyCrops) -> Iterator[Fault]:
    """Yield a fault for each sequence present that does not show the places of all rows graded on it."""
    for number, sequence in enumerate(SEQUENCES):
        seen = {*slot2cell[crops.shown & (slot2sequence == number)]}
        own = [at for at, cell in enumerate(CELLS) if group2sequence[cell.group] == sequence]
        rows = tuple(row_id(study.study_id, CELLS[at]) for at in own if at not in seen)
        if rows and sequence in study.sequences:
            detail = f"{len(rows)} places that no slice of {sequence} shows"
            yield Fault(UNSEEN, "graded without it", study.study_id, detail=detail, row_ids=rows)


def cut_located(study: Study, located: Located, slices: int) -> StudyCrops:
    """Cut the views of a study's places, rotated with their level if its canal point was found."""
    points = {point.landmark: point for point in located.points}
    axes = disc_axes(canal_of(point for point in located.points if point.confidence > 0))
    images = np.zeros((len(SLOTS), slices, MARGIN_PX, MARGIN_PX), np.uint8)
    present = np.zeros((len(SLOTS), slices), bool)
    points_mm, confidences = np.full((len(SLOTS), 3), np.nan), np.zeros(len(SLOTS))
    places_mm = {landmark: point.patient_mm for landmark, point in points.items()}
    for number, shown, there in cut_slots(study, places_mm, axes, slices=slices):
        point = points[SLOTS[number].landmark]
        images[number], present[number] = shown, there
        points_mm[number], confidences[number] = point.patient_mm, point.confidence
    counted = located.confidence if located.abstained else 1.0
    return StudyCrops(images, present, points_mm, confidences, counted=counted)


@dataclass
class CropEncoder(Encoder):
    """Localise studies and cut their crops; of many studies, into one file each."""

    spec: CropInput
    workers: int = 1
    cut: WeakKeyDictionary[Study, StudyCrops] = field(default_factory=WeakKeyDictionary)
    """Crops of studies that are still in use."""

    def encode(self, study: Study, ledger: Ledger) -> CropDataset:
        """Encode one study, which is localised only once."""
        if study not in self.cut:
            self.cut[study] = cut_study(study, shipped_localiser(), self.spec.slices)
        crops = self.cut[study]
        ledger.extend(crops.faults)
        return CropDataset.of([study.study_id], [crops])

    def dataset(self, studies: PreparedStudies, cache: Path) -> CropDataset:
        """Encode many studies; the crops are memory-mapped."""
        files = CropFiles(Path(cache) / self.spec.folder_name, self.recipe, self.spec, studies)
        known = studies.study_ids
        todo = [study_id for study_id in known if not files.has(study_id)]
        retire_workers()
        made = in_processes(
            (delayed(files.of(study_id).make)(study_id) for study_id in todo), self.workers, ordered=False
        )
        for _ in tqdm(made, "crops", len(known), initial=len(known) - len(todo), mininterval=1):
            pass
        return CropDataset.of(known, [files.crops(study_id) for study_id in known])


@dataclass(frozen=True)
class CropFiles:
    """A folder of crops, one `<study_id>.npy` per study."""

    folder: Path
    recipe: dict[str, Any]
    spec: CropInput
    studies: PreparedStudies

    def of(self, study_id: int) -> "CropFiles":
        """The files of one study: all that a worker needs."""
        return replace(self, studies=self.studies.of([study_id]))

    def has(self, study_id: int) -> bool:
        """Whether a study's crops exist and match its current images."""
        return is_current(self._path(study_id), self._state(study_id))

    def make(self, study_id: int) -> None:
        """Locate, cut and save one study."""
        crops = cut_study(self.studies.study(study_id), worker_localiser(), self.spec.slices)
        save_array(
            self._path(study_id),
            crops.images,
            Provenance(self.spec.to_json(), {"localiser": _weights()}),
            state=self._state(study_id),
            present=crops.present.tolist(),
            points_mm=[None if np.isnan(point).any() else point.tolist() for point in crops.points_mm],
            confidences=crops.confidences.tolist(),
            counted=crops.counted,
            faults=[dataclasses.asdict(fault) for fault in crops.faults],
        )

    def crops(self, study_id: int) -> StudyCrops:
        """Load the crops of a study; raises ArtefactError if they were not made."""
        path = self._path(study_id)
        facts = facts_of(path)
        return StudyCrops(
            load_array(path, mmap=True),
            np.array(facts["present"], bool),
            np.array([point or 3 * [np.nan] for point in facts["points_mm"]]),
            np.array(facts["confidences"], float),
            tuple(faults_in(facts)),
            facts["counted"],
        )

    def _path(self, study_id: int) -> Path:
        return self.folder / f"{int(study_id)}.npy"

    def _state(self, study_id: int) -> str:
        """Changes with the study's volumes, the localiser's weights and the recipe."""
        return fingerprint(self.recipe, _weights(), self.studies.of([study_id]).fingerprint)


@cache
def _weights() -> str:
    return sha256(SHIPPED)
