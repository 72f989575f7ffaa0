"""An experiment as data: what is fitted, on what, under a name that is also the folder of its results."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from kitlib.errors import UsageError, known_name
from kitlib.models.base import Model
from kitlib.models.registry import build_model

FOLDER_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
Split = Literal["studies", "series", "slices", "training"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class PublishedResult:
    """What a seed published for a system, as shares; NaN where it published nothing."""

    accuracy: float
    f1: float = float("nan")
    auc: float = float("nan")


@dataclass(frozen=True)
class Experiment:
    """One row of the table of results. UsageError on an unknown model or parameter, before anything runs."""

    name: str
    family: str
    model: str
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    grey: str = ""
    """One of prepare's GREY_OPTIONS; empty takes the profile's."""
    backbone: str = ""
    """The name of the backbone; empty takes the profile's."""
    description: str = ""
    split: Split = "studies"
    """What is dealt to folds (see `splits`); all but whole studies leak, and exist to show how much."""
    input_px: int = 0
    """Whole slices are embedded as squares of this side; 0 takes side and view of the weights' training."""
    weights: str = ""
    """Where the backbone's weights come from; empty takes the best at hand."""
    published: PublishedResult | None = None
    """What the seed published for this system."""
    demo: bool = False
    """Whether it belongs to the five-minute subset."""
    removals: tuple[str, ...] = ()
    """Scenarios of missing sequences under which the held-out studies are predicted once more."""

    def __post_init__(self) -> None:
        if not FOLDER_NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot name a folder",
                hint="Use a-z, 0-9 and _ . + -, a letter or digit first.",
            )
        known_name(self.split, SPLITS, "split", where=self.name)
        self.build()

    @property
    def leaks(self) -> bool:
        """Whether a study may stand on both sides of a fold."""
        return self.split != "studies"

    def build(self) -> Model:
        """The unfitted model."""
        return build_model(self.model, **self.parameters)

    def with_parameters(self, **parameters: Any) -> "Experiment":
        """The same experiment with some of the model's parameters changed."""
        return replace(self, parameters={**self.parameters, **parameters})
