"""What turns one study into probabilities: encoders, fold models, blend and calibration."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from kitlib.competition.priors import Prior
from kitlib.ensemble.blend import Blend
from kitlib.ensemble.crossfit import Ensemble
from kitlib.errors import ArtefactError
from kitlib.experiments.fold import load_fold
from kitlib.inputs.base import Dataset, Encoder, InputSpec, Resources
from kitlib.inputs.crops import UNSEEN, CropDataset, CropInput
from kitlib.localise.contrast import identified_by_canal
from kitlib.localise.folder import study_rows
from kitlib.models.base import Model
from kitlib.models.crop.model import CropModel, Examination
from kitlib.mri.ledger import Ledger
from kitlib.mri.reading import read_study
from kitlib.mri.stack import Stack
from kitlib.mri.study import Study, rows_in_doubt
from kitlib.prepare.volumes import prepare
from kitlib.terms import CELLS, SEQUENCES, row_ids

FULL, FEWER, PRIOR = "full model", "fewer views", "prior"
IMAGES_DOUBTED, PLACES_DOUBTED = "images in doubt", "places in doubt"
NATIVE_PX = 512
"""Slices are not downsampled below the resolution of a view, whose pixels are 0.6 mm or larger."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for one study."""

    probabilities: np.ndarray  # (25, 3), in the order of CELLS
    rungs: np.ndarray  # (25,) text: how each row was made; the rungs are listed in `stream`

    @classmethod
    def of(cls, probabilities: np.ndarray, rung: str) -> "Prediction":
        """A prediction whose rows all have the same rung."""
        return cls(probabilities, np.full(len(CELLS), rung, dtype=object))


@dataclass(frozen=True)
class Member:
    """The fold models of an experiment, and the input they read."""

    input: InputSpec
    models: tuple[Model, ...]

    @classmethod
    def load(cls, folders: Iterable[Path]) -> "Member":
        """Load from an experiment's fold folders; raises ArtefactError if their inputs differ."""
        specs, models = zip(*(load_fold(folder) for folder in folders))
        if len({spec.fingerprint for spec in specs}) > 1:
            raise ArtefactError("the folds read different inputs", hint="Run 04_modelling again.")
        return cls(specs[0], models)

    def predict(self, data: Dataset) -> np.ndarray:
        """Mean of the fold models' probabilities, (n, 25, 3)."""
        return np.mean([model.predict(data) for model in self.models], axis=0)


@dataclass(frozen=True)
class Predictor:
    """Everything fitted that a study passes through: fold models, encoders, ensemble and prior.

    >>> from kitlib.run.finished import finished_predictor
    >>> predictor, rows = finished_predictor(Path("work")), find_root("competition").series("test")
    >>> study = predictor.read(11, rows[rows["study_id"] == 11], Ledger())
    >>> prediction = predictor.predict(study)
    >>> prediction.probabilities.shape, set(prediction.rungs)
    ((25, 3), {'full model'})
    """

    members: Mapping[str, Member]
    encoders: Mapping[str, Encoder]  # by the fingerprint of their input
    ensemble: Ensemble
    prior: Prior

    @classmethod
    def shipped(cls) -> "Predictor":
        """The predictor that ships: a crop model trained on phantoms only, usable without a run."""
        model, spec = CropModel.shipped(), CropInput(longest_px=NATIVE_PX)
        return cls(
            {model.name: Member(spec, (model,))},
            {spec.fingerprint: spec.encoder(Resources())},
            Ensemble(Blend({model.name: 1.0}), ()),
            Prior(model.prior),
        )

    def read(self, study_id: int, rows: pd.DataFrame, ledger: Ledger) -> Study:
        """Read a study and prepare it as the members' inputs require; `rows` as in `read_study`."""
        return read_study(study_id, rows, ledger, prepare=self._prepare, identify=identified_by_canal)

    def read_folder(self, folder: Path, ledger: Ledger) -> Study:
        """Read the study in any folder, prepared as by `read`; DataError if there is nothing to read."""
        return self.read(*study_rows(folder, ledger), ledger)

    def prepared(self, study: Study) -> Study:
        """Prepare a study in memory as `read` does; one that is prepared already is returned as it is."""
        if all(stack.pixels.dtype == np.uint8 for series in study.series for stack in series.stacks):
            return study
        series = (replace(one, stacks=tuple(self._prepare(one.stacks))) for one in study.series)
        return replace(study, series=tuple(series))

    def _prepare(self, stacks: Sequence[Stack]) -> list[Stack]:
        return prepare(stacks, max(encoder.spec.longest_px for encoder in self.encoders.values()))

    def predict(self, study: Study, ledger: Ledger | None = None) -> Prediction:
        """Predict one prepared study: probabilities and rungs; the prior if it has no image.

        Each distinct input is encoded once, however many members read it. Doubts raised while encoding are
        added to the ledger and lower the rung of the rows they affect; so do doubts about the study's images
        that the ledger already holds.
        """
        if not study.sequences:
            return Prediction.of(self.prior.probabilities, PRIOR)
        ledger = Ledger() if ledger is None else ledger
        doubts = Ledger()
        data = {name: encoder.encode(study, doubts) for name, encoder in self.encoders.items()}
        ledger.extend(doubts)
        predicted = {
            name: member.predict(data[member.input.fingerprint]) for name, member in self.members.items()
        }
        rung = FULL if len(study.sequences) == len(SEQUENCES) else FEWER
        rungs = dict.fromkeys(row_ids(study.study_id), rung)
        places = [fault for fault in doubts if fault.code != UNSEEN]
        rungs |= dict.fromkeys((row for fault in doubts for row in fault.row_ids), FEWER)
        rungs |= dict.fromkeys(rows_in_doubt(study, ledger), IMAGES_DOUBTED)
        rungs |= dict.fromkeys((row for fault in places for row in fault.row_ids), PLACES_DOUBTED)
        return Prediction(self.ensemble.apply(predicted)[0], np.array([*rungs.values()], dtype=object))

    def examine(self, study: Study) -> Examination | None:
        """The crop model's findings in a prepared study, view by view; None if no member is a crop model.

        Uses the first fold of the first crop model.
        """
        for member in self.members.values():
            if isinstance(model := member.models[0], CropModel):
                data = self.encoders[member.input.fingerprint].encode(study, Ledger())
                return model.examine(cast(CropDataset, data))[0]
        return None


def open_encoders(members: Iterable[Member], resources: Resources) -> dict[str, Encoder]:
    """Open one encoder for each distinct input of the members, keyed by the input's fingerprint.

    Raises ArtefactError if the inputs use volumes of different sizes, or the weights are not those the models
    were fitted with.
    """
    specs = {member.input.fingerprint: member.input for member in members}
    if len(sizes := {spec.longest_px for spec in specs.values()}) > 1:
        raise ArtefactError(
            f"experiments of volumes of different sizes cannot be read together: {sorted(sizes)} px",
            hint="Run them with one longest_px.",
        )
    return {name: spec.encoder(resources) for name, spec in specs.items()}
