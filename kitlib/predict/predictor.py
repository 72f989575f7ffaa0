"""What turns one study's stacks into probabilities: backbone, fold models, blend and calibration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kitlib.artefacts import load_json, load_table
from kitlib.competition.priors import Prior
from kitlib.embed.backbone import load_backbone
from kitlib.embed.base import Backbone
from kitlib.embed.engine import study_tokens
from kitlib.embed.store import EmbeddingSpec
from kitlib.ensemble.crossfit import Ensemble
from kitlib.errors import ArtefactError
from kitlib.experiments.run import fold_folder
from kitlib.inputs.slices import SliceDataset
from kitlib.models.base import Model
from kitlib.models.registry import load_model
from kitlib.mri.stack import Stack
from kitlib.prepare.tabular import study_metadata
from kitlib.terms import SEQUENCES

Need = Callable[[str, str], Path]
"""From a step and a name to the path of what that step wrote: `Settings.need`."""

RECORDED_KINDS = ("shipped", "hub", "random")


@dataclass(frozen=True)
class Member:
    """An experiment's fold models, and how they want their slices."""

    grey: str
    models: tuple[Model, ...]

    def predict(self, features: SliceDataset) -> np.ndarray:
        """The folds' mean, (n, 25, 3)."""
        return np.mean([model.predict(features) for model in self.models], axis=0)


@dataclass(frozen=True)
class Predictor:
    """Everything that was fitted, in the order in which a study passes it."""

    longest_px: int
    backbone: Backbone
    members: Mapping[str, Member]
    ensemble: Ensemble
    prior: Prior

    def predict(self, study_id: int, series: pd.DataFrame, stacks: Mapping[int, list[Stack]]) -> np.ndarray:
        """Probabilities (25, 3) of one study from the prepared stacks of its series (series_id, sequence)."""
        metadata = study_metadata([study_id], series, lambda _, series_id: stacks[series_id])
        greys = {member.grey for member in self.members.values()}
        features = {grey: self._features(study_id, series, stacks, metadata, grey) for grey in greys}
        predicted = {name: member.predict(features[member.grey]) for name, member in self.members.items()}
        return self.ensemble.apply(predicted)[0]

    def _features(
        self,
        study_id: int,
        series: pd.DataFrame,
        stacks: Mapping[int, list[Stack]],
        metadata: pd.DataFrame,
        grey: str,
    ) -> SliceDataset:
        tokens = {}
        for sequence in SEQUENCES:
            ids = series.loc[series["sequence"] == sequence, "series_id"]
            found = [stack for series_id in ids for stack in stacks[series_id]]
            tokens[sequence] = [study_tokens(self.backbone, found, grey=grey)]
        return SliceDataset(np.array([study_id], np.int64), tokens, metadata)


def load_predictor(need: Need, *, weights: str = "auto", attached_dir: Path | None = None) -> Predictor:
    """The predictor that steps 3 to 5 left; ArtefactError or StepError where one of its parts is missing.

    Weights other than those that the embeddings were made with are an ArtefactError.
    """
    record = load_json(need("03_embeddings", "embedding.json"))
    experiments = load_json(need("04_modelling", "experiments.json"))
    ensemble = Ensemble.load(need("05_ensembling", "ensemble.json"))
    folds = sorted(load_table(need("04_modelling", "folds.parquet"))["fold"].unique())
    members = {
        name: Member(experiments[name]["grey"], _fold_models(need("04_modelling", name), folds))
        for name, weight in ensemble.weights.items()
        if weight > 0
    }
    prior = Prior.from_json(load_json(need("05_ensembling", "prior.json")))
    return Predictor(record["longest_px"], _backbone(record, weights, attached_dir), members, ensemble, prior)


def _fold_models(folder: Path, folds: Sequence[int]) -> tuple[Model, ...]:
    # By the table of folds and not by what lies there: a run of more folds may have left some behind.
    return tuple(load_model(fold_folder(folder, fold)) for fold in folds)


def embedding_record(backbone: Backbone, *, longest_px: int, greys: Sequence[str]) -> dict[str, Any]:
    """All that must be the same when embeddings are made again, for `embedding.json`."""
    source = backbone.source
    return {
        "backbone": backbone.name,
        "weights_kind": source.kind,
        "weights_file": str(source.file or ""),
        "weights_sha256": source.sha256,
        "width": backbone.width,
        "input_px": backbone.input_px,
        "view": backbone.view,
        "longest_px": longest_px,
        "greys": list(greys),
    }


def embedding_spec(record: Mapping[str, Any], grey: str) -> EmbeddingSpec:
    """The spec of the store's folder for one grey option, without loading the backbone."""
    if grey not in record["greys"]:
        raise ArtefactError(f"no embeddings of {grey!r} slices", hint="Add it in 03_embeddings.")
    weights = record["weights_sha256"] or record["weights_kind"]
    size, view = record["input_px"], record["view"]
    return EmbeddingSpec(record["backbone"], weights, size, view, grey, record["width"])


def _backbone(record: Mapping[str, Any], weights: str, attached_dir: Path | None) -> Backbone:
    """The recorded backbone; "auto" without attached weights goes where the recorded ones came from."""
    if weights == "auto" and attached_dir is None:
        kind = record["weights_kind"]
        weights = kind if kind in RECORDED_KINDS else record["weights_file"]
    backbone = load_backbone(
        record["backbone"],
        weights=weights,
        attached_dir=attached_dir,
        input_px=record["input_px"],
        view=record["view"],
    )
    if backbone.source.sha256 != record["weights_sha256"]:
        raise ArtefactError(
            f"the weights found, {backbone.source}, are not those of the embeddings",
            where=f"{record['weights_file'] or 'random'}, sha256 {record['weights_sha256'][:12]}",
            hint="Name that file by weights=..., or run steps 3 to 5 again.",
        )
    return backbone
