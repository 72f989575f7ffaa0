"""An experiment as data: a model, its input and its protocol, under a name that is also its folder's."""

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
"""Slices, with the profile's backbone, weights and grey option."""


@dataclass(frozen=True)
class PublishedResult:
    """Published metrics of a system, as fractions; NaN if not published."""

    accuracy: float
    f1: float = math.nan
    auc: float = math.nan


@dataclass(frozen=True)
class Protocol:
    """How an experiment is evaluated."""

    split: SplitName = "studies"
    """What is split into folds (see `leaks`); all but whole studies leak, and exist to show how much."""
    missing: tuple[str, ...] = ()
    """Scenarios of missing sequences under which the held-out studies are predicted again."""


@dataclass(frozen=True)
class About:
    """Description of an experiment for readers."""

    text: str = ""
    tags: tuple[str, ...] = ()
    """Groups that it belongs to, such as "first", "published" and "demo"."""
    published: PublishedResult | None = None
    twin_of: str = ""
    """The experiment that this one repeats with a leaking split."""


@dataclass(frozen=True)
class Experiment:
    """One row of the results table; UsageError if its name cannot name a folder or the split is unknown.

    >>> from kitlib.models.svc import SVCModel
    >>> experiment = Experiment("my_svc", SVCModel(components=8), SliceInput(grey="equalised"))
    >>> experiment.with_parameters(components=16).model.components
    16
    """

    name: str
    model: Model = field(hash=False)
    input: InputSpec = PROFILES_CHOICE
    """What the model reads; empty fields are filled in from the profile."""
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
        """Whether a study may be on both the training and the held-out side of a fold."""
        return self.protocol.split != "studies"

    @property
    def code(self) -> str:
        """Fingerprint of the code of the model and its input."""
        return code_fingerprint(type(self.model), type(self.input))

    def build(self) -> Model:
        """Build the unfitted model."""
        return dataclasses.replace(self.model)

    def with_parameters(self, **parameters: Any) -> "Experiment":
        """A copy with some of the model's parameters changed."""
        return dataclasses.replace(self, model=dataclasses.replace(self.model, **parameters))

    def reading(self, spec: InputSpec) -> "Experiment":
        """A copy that reads this input, such as its own input with resolved weights."""
        return dataclasses.replace(self, input=spec)

    def completed(self, defaults: Mapping[str, Any], most_epochs: int) -> "Experiment":
        """A copy with the input's empty fields filled in and all epoch parameters capped at `most_epochs`."""
        fewer = {
            entry.name: most_epochs
            for entry in dataclasses.fields(self.model)
            if entry.name.endswith("epochs") and getattr(self.model, entry.name) > most_epochs
        }
        return self.with_parameters(**fewer).reading(self.input.completed(defaults))

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values, for readers and fingerprints."""
        return {
            "model": self.model.name,
            "parameters": dataclasses.asdict(self.model),
            "input": self.input.to_json(),
            "protocol": dataclasses.asdict(self.protocol),
            "about": self.about.text,
        }
