"""Registry of experiments by name: the kit's own, and the published systems."""

from collections.abc import Collection

from kitlib.errors import UsageError, known_name
from kitlib.experiments.experiment import About, Experiment, Protocol
from kitlib.experiments.published import PUBLISHED, imputer2text, published_experiments
from kitlib.experiments.scenarios import SCENARIOS
from kitlib.inputs.base import register_input
from kitlib.inputs.crops import CropInput
from kitlib.models.attention import CellAttentionModel
from kitlib.models.base import Model
from kitlib.models.blind import PriorModel
from kitlib.models.boosting import LightGBMModel
from kitlib.models.crop.model import CropModel
from kitlib.models.pseudo.views import MASKED, VIEW_FILLERS, PseudoViewsModel
from kitlib.models.registry import register_model
from kitlib.models.svc import SVCModel

EXPERIMENTS: dict[str, Experiment] = {}


def register(entry: Experiment) -> Experiment:
    """Register an experiment with its model and input, so that runs find it by name and reopen its results.

    Raises UsageError if its name is taken.

    >>> from kitlib.models.svc import SVCModel
    >>> register(Experiment("svc_of_eight", SVCModel(components=8))).name
    'svc_of_eight'
    """
    if entry.name in EXPERIMENTS:
        raise UsageError(
            f"experiment {entry.name!r} is registered already", hint="Give it a name of its own."
        )
    register_model(type(entry.model))
    register_input(type(entry.input))
    EXPERIMENTS[entry.name] = entry
    return entry


def experiment(name: str) -> Experiment:
    """The experiment of this name; raises UsageError if there is none."""
    known_name(name, EXPERIMENTS, "experiment")
    return EXPERIMENTS[name]


def experiments(tag: str | None = None) -> list[Experiment]:
    """The experiments with a tag, or all, in order of registration; raises UsageError on an unknown tag."""
    if tag is not None:
        known_name(tag, all_tags(), "family")
    return [entry for entry in EXPERIMENTS.values() if tag is None or tag in entry.about.tags]


def select(names: Collection[str]) -> list[Experiment]:
    """The experiments with these names or tags, each once; raises UsageError on a name that is neither."""
    chosen: dict[str, Experiment] = {}
    for name in names:
        known_name(name, [*EXPERIMENTS, *all_tags()], "experiment")
        found = [EXPERIMENTS[name]] if name in EXPERIMENTS else experiments(name)
        chosen |= {entry.name: entry for entry in found}
    return list(chosen.values())


def all_tags() -> list[str]:
    """Every tag in use."""
    return list(dict.fromkeys(tag for entry in EXPERIMENTS.values() for tag in entry.about.tags))


FIRST: tuple[tuple[Model, str], ...] = (
    (PriorModel(), "Weighted frequencies, no image"),
    (CellAttentionModel(), "Attention from each cell to slices of all sequences"),
    (LightGBMModel(), "Boosted trees on pooled embeddings and metadata"),
    (SVCModel(), "Support vector machines on pooled embeddings and metadata"),
)
first = [Experiment(model.name, model, about=About(text, tags=("first",))) for model, text in FIRST]
crops = [
    Experiment(name, model, CropInput(), about=About(text, tags=tags))
    for name, model, text, tags in (
        (
            "crops",
            CropModel(),
            "Views of each place as phantoms taught to see them, fused",
            ("first", PUBLISHED),
        ),
        ("crops_tuned", CropModel(tune=True, epochs=8, batch=4), "The same, trained on the views", ()),
    )
]
views = [
    Experiment(
        f"views_{filler}",
        PseudoViewsModel(imputer=filler),
        CropInput(),
        Protocol(missing=SCENARIOS),
        About(f"Views of missing sequences {text}; the crop model's fusion", tags=(PUBLISHED,)),
    )
    for filler, text in (
        (MASKED, "masked in the fusion"),
        *((name, f"imputed by {imputer2text[name]}") for name in VIEW_FILLERS if name != MASKED),
    )
]
for entry in (*first, *crops, *published_experiments(), *views):
    register(entry)
