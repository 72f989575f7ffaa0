"""The models by name. The contract tests run on every model registered here."""

from pathlib import Path

from kitlib.artefacts import load_json
from kitlib.errors import ModelError, refuse_taken
from kitlib.models.attention import CellAttentionModel, FusionModel
from kitlib.models.base import MODEL_FILE, Model
from kitlib.models.blind import PriorModel, RandomModel
from kitlib.models.boosting import LightGBMModel
from kitlib.models.crop.model import CropModel
from kitlib.models.pooled.model import PooledModel
from kitlib.models.pseudo.model import PseudoModel
from kitlib.models.pseudo.views import PseudoViewsModel
from kitlib.models.svc import SVCModel
from kitlib.models.vit.model import ViTModel

MODELS: dict[str, type[Model]] = {
    model.name: model
    for model in (
        PriorModel, CellAttentionModel, CropModel, FusionModel, LightGBMModel, PooledModel, RandomModel,
        PseudoModel, PseudoViewsModel, SVCModel, ViTModel,
    )
}  # fmt: skip


def register_model(model: type[Model]) -> type[Model]:
    """Register a model so that saved folds can load it by name; a class decorator.

    Raises UsageError if the name is taken.
    """
    refuse_taken(model.name, model, MODELS, "model")
    MODELS[model.name] = model
    return model


def load_model(folder: Path) -> Model:
    """Load the model saved in a folder, of any registered kind."""
    name = load_json(Path(folder) / MODEL_FILE)["model"]
    if name not in MODELS:
        raise ModelError(f"the folder holds an unknown model {name!r}", where=folder, hint="Update the kit.")
    return MODELS[name].load(folder)
