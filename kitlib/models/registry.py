"""The models by name. A model registered here gets its contract tests by being here."""

import dataclasses
from pathlib import Path
from typing import Any

from kitlib.artefacts import load_json
from kitlib.errors import ModelError, UsageError, known_name
from kitlib.models.base import MODEL_FILE, Model
from kitlib.models.boosting import LightGBMModel
from kitlib.models.cell_attention.model import CellAttentionModel
from kitlib.models.fusion.model import FusionModel
from kitlib.models.pooled.model import PooledModel
from kitlib.models.prior import PriorModel
from kitlib.models.pseudo.model import PseudoModel
from kitlib.models.random_model import RandomModel
from kitlib.models.svc import SVCModel
from kitlib.models.vit.model import ViTModel

MODELS: dict[str, type[Model]] = {
    model.name: model
    for model in (
        PriorModel,
        CellAttentionModel,
        FusionModel,
        LightGBMModel,
        PooledModel,
        RandomModel,
        PseudoModel,
        SVCModel,
        ViTModel,
    )
}


def build_model(name: str, **parameters: Any) -> Model:
    """An unfitted model; UsageError when the name or a parameter is unknown, or a value of the wrong type."""
    known_name(name, MODELS, "model")
    defaults = {field.name: field.default for field in dataclasses.fields(MODELS[name])}
    for parameter, value in parameters.items():
        known_name(parameter, defaults, "parameter", where=f"model {name}")
        _check_type(f"{name}.{parameter}", value, defaults[parameter])
    return MODELS[name](**parameters)


def load_model(folder: Path) -> Model:
    """Open the model that a folder holds, whichever it is."""
    name = load_json(Path(folder) / MODEL_FILE)["model"]
    if name not in MODELS:
        raise ModelError(f"the folder holds an unknown model {name!r}", where=folder, hint="Update the kit.")
    return MODELS[name].load(folder)


def _check_type(place: str, value: Any, default: Any) -> None:
    """A whole number may stand for a float; nothing else may stand for something else."""
    kind = type(default)
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise UsageError(f"{value!r} is not of type {kind.__name__}", where=place)
