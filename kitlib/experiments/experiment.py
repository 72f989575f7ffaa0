"""An experiment as data: which model reads which input, judged how, under a name that is its folder's too."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from kitlib.code import code_fingerprint
from kitlib.errors import UsageError, known_name
from kitlib.inputs.base import InputSpec
from kitlib.inputs.slices import SliceInput
from kitlib.models.base import Model

FOLDER_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
SplitName = Literal["studies", "series", "slices", "training"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
PROFILES_CHOICE = SliceInput()
"""Slices with the backbone, weights and grey option of the profile."""


@dataclass(frozen=True)
class PublishedResult:
    """What was published for a system, as shares; NaN where nothing was."""

    accuracy: float
    f1: float = math.nan
    auc: float = math.nan


@dataclass(frozen=True)
class Protocol:
    """How an experiment is judged."""

    split: SplitName = "studies"
    """What is dealt to folds (see `leaks`); all but whole studies leak, and exist to show how much."""
    missing: tuple[str, ...] = ()
    """Scenarios of missing sequences under which the held-out studies are predicted once more."""


@dataclass(frozen=True)
class About:
    """What a reader should know of an experiment."""

    text: str = ""
    tags: tuple[str, ...] = ()
    """Names of groups that it belongs to, such as "first", "published" and "demo"."""
    published: PublishedResult | None = None
    twin_of: str = ""
    """The experiment that this one repeats under a split that leaks."""


@dataclass(frozen=True)
class Experiment:
    """One row of the table of results. UsageError on a name that cannot be a folder's, or an unknown split.

    >>> from kitlib.models.svc import SVCModel
    >>> experiment = Experiment("my_svc", SVCModel(components=8), SliceInput(grey="equalised"))
    >>> experiment.with_parameters(components=16).model.components
    16
    """

    name: str
    model: Model = field(hash=False)
    input: InputSpec = PROFILES_CHOICE
    """What the model reads; fields that are left empty are the profile's choice."""
    protocol: Protocol = Protocol()
    about: About = About()

    def __post_init__(self) -> None:
        if not FOLDER_NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot name a folder",
                hint="Use a-z, 0-9 and _ . + -, a letter or digit first.",
            )
        known_name(self.protocol.split, SPLITS, "split", where=self.name)

    @property
    def leaks(self) -> bool:
        """Whether a study may stand on both sides of a fold."""
        return self.protocol.split != "studies"

    @property
    def code(self) -> str:
        """Changes with the code that the model and its input are made of."""
        return code_fingerprint(type(self.model), type(self.input))

    def build(self) -> Model:
        """The unfitted model."""
        return dataclasses.replace(self.model)

    def with_parameters(self, **parameters: Any) -> "Experiment":
        """The same experiment with some of the model's parameters changed."""
        return dataclasses.replace(self, model=dataclasses.replace(self.model, **parameters))

    def reading(self, spec: InputSpec) -> "Experiment":
        """The same experiment on this input, such as its own with the weights that were found."""
        return dataclasses.replace(self, input=spec)

    def completed(self, defaults: Mapping[str, Any], most_epochs: int) -> "Experiment":
        """With the input's empty fields filled in, and no model trained for more epochs than these."""
        fewer = {
            entry.name: most_epochs
            for entry in dataclasses.fields(self.model)
            if entry.name.endswith("epochs") and getattr(self.model, entry.name) > most_epochs
        }
        return self.with_parameters(**fewer).reading(self.input.completed(defaults))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for people and for fingerprints."""
        return {
            "model": self.model.name,
            "parameters": dataclasses.asdict(self.model),
            "input": self.input.to_json(),
            "protocol": dataclasses.asdict(self.protocol),
            "about": self.about.text,
        }
