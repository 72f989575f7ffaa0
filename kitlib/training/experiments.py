"""Experiments as data: what is fitted, on what, under a name that is also the folder of its results."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kitlib.errors import UsageError
from kitlib.models.base import Model
from kitlib.models.registry import build_model

FOLDER_NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")


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
    """The timm name of the backbone; empty takes the profile's."""
    description: str = ""

    def __post_init__(self) -> None:
        if not FOLDER_NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot name a folder",
                hint="Use a-z, 0-9 and _ . + -, a letter or digit first.",
            )
        self.build()

    def build(self) -> Model:
        """The unfitted model."""
        return build_model(self.model, **self.parameters)

    def with_parameters(self, **parameters: Any) -> "Experiment":
        """The same experiment with some of the model's parameters changed."""
        return replace(self, parameters={**self.parameters, **parameters})


EXPERIMENTS: dict[str, Experiment] = {}


def register(entry: Experiment) -> Experiment:
    """Add an experiment; UsageError if its name is taken."""
    if entry.name in EXPERIMENTS:
        raise UsageError(
            f"experiment {entry.name!r} is registered already", hint="Give it a name of its own."
        )
    EXPERIMENTS[entry.name] = entry
    return entry


def experiment(name: str) -> Experiment:
    """The experiment of that name; UsageError on an unknown one."""
    if name not in EXPERIMENTS:
        raise UsageError(f"unknown experiment {name!r}", hint=f"Known: {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]


def experiments(family: str | None = None) -> list[Experiment]:
    """The experiments of a family, or all of them, in the order of their registration."""
    families = list(dict.fromkeys(entry.family for entry in EXPERIMENTS.values()))
    if family is not None and family not in families:
        raise UsageError(f"unknown family {family!r}", hint=f"Known: {', '.join(families)}.")
    return [entry for entry in EXPERIMENTS.values() if family in (None, entry.family)]


register(Experiment("prior", "first", "prior", description="Weighted frequencies, no image"))
register(
    Experiment(
        "cell_attention",
        "first",
        "cell_attention",
        description="Attention from each cell to slices of all sequences",
    )
)
register(
    Experiment("lightgbm", "first", "lightgbm", description="Boosted trees on pooled embeddings and metadata")
)
register(
    Experiment("svc", "first", "svc", description="Support vector machines on pooled embeddings and metadata")
)
