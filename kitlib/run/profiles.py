"""Profiles: parameter sets for a quick test, a first run, a benchmark and the competition."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kitlib.embed.names import WEIGHTS
from kitlib.ensemble.names import CALIBRATORS, COMBINERS
from kitlib.errors import UsageError, known_name
from kitlib.machine import cores

HOUR_S = 3600.0


def _how(default: Any) -> Any:
    """A field that sets how a run works and not its results: a change does not rerun a step."""
    return field(default=default, metadata={"how": True})


@dataclass(frozen=True)
class Profile:
    """The parameters of a run; notebooks and the command line can override them by name."""

    name: str
    phantom_studies: int
    phantom_test_studies: int
    phantom_size: str = "demo"
    seed: int = 2024
    longest_px: int = 256
    backbone: str = "resnet10t"
    weights: str = "shipped"
    attached_weights: str = ""
    grey: str = "greyscale"
    embed_batch: int = 32
    folds: int = 5
    experiments: str = "first"
    """Comma-separated names and tags of experiments."""
    combine: str = "blend"
    """The combiner of the experiments' predictions: a name of `kitlib.ensemble.names`."""
    calibrate: str = "vector_scaling"
    """Comma-separated names of calibrators, in order; may be empty."""
    epochs: int = 120
    """Maximum number of epochs of any experiment."""
    workers: int = _how(cores())
    cell_timeout_s: float = _how(HOUR_S)
    budget_s: float = _how(HOUR_S)
    """Wall-clock seconds for the submission step; studies that do not fit get the prior."""

    def __post_init__(self) -> None:
        known_name(self.combine, COMBINERS, "combiner")
        for name in self.calibrators:
            known_name(name, CALIBRATORS, "calibrator")

    @property
    def calibrators(self) -> tuple[str, ...]:
        """The names in `calibrate`."""
        return tuple(self.calibrate.replace(",", " ").split())

    @property
    def input_defaults(self) -> dict[str, Any]:
        """The profile's values for fields that an experiment's input leaves empty."""
        return {name: getattr(self, name) for name in ("backbone", "weights", "grey", "longest_px")}

    def with_overrides(self, values: Mapping[str, Any]) -> "Profile":
        """A copy with the named fields changed and converted to their types; UsageError on unknown names."""
        kinds = {entry.name: entry.type for entry in dataclasses.fields(self) if entry.name != "name"}
        for name in values:
            known_name(name, kinds, "parameter")
        changes = {name: _coerced(name, kinds[name], value) for name, value in values.items()}
        return dataclasses.replace(self, **changes)

    def located(self) -> "Profile":
        """A copy with absolute file paths: kernels start in another folder."""
        weights = self.weights if self.weights in WEIGHTS else _from_root(self.weights)
        attached = _from_root(self.attached_weights) if self.attached_weights else ""
        return dataclasses.replace(self, weights=weights, attached_weights=attached)

    def results(self) -> dict[str, Any]:
        """The fields that results depend on."""
        return {
            entry.name: getattr(self, entry.name)
            for entry in dataclasses.fields(self)
            if not entry.metadata.get("how")
        }


_profiles = (
    Profile("smoke", 12, 4, phantom_size="smoke", longest_px=128, folds=2, epochs=3, cell_timeout_s=600.0),
    Profile("demo", 60, 15),
    Profile("bench", 240, 60, longest_px=320, folds=3, cell_timeout_s=12 * HOUR_S, budget_s=9 * HOUR_S),
    # Kaggle ends a notebook after nine hours; half an hour is kept for startup and writing.
    # With that many studies stacking pays (docs/ensemble.md).
    Profile("kaggle", 0, 0, longest_px=384, weights="auto", experiments="first,crops_tuned",
            combine="logistic", cell_timeout_s=9 * HOUR_S, budget_s=8.5 * HOUR_S),
)  # fmt: skip
PROFILES = {profile.name: profile for profile in _profiles}


def profile_named(name: str) -> Profile:
    """The profile of this name; raises UsageError if there is none."""
    known_name(name, PROFILES, "profile")
    return PROFILES[name]


def _coerced(name: str, kind: Any, value: Any) -> Any:
    """Convert a value to its field's type, however papermill, YAML or a shell passed it."""
    coerce, example = kind2coercion[kind]
    try:
        return coerce(value)
    except ValueError:
        raise UsageError(
            f"parameter {name!r} must be {kind.__name__}, and {value!r} is {type(value).__name__}",
            hint=f"Write, for instance, -p {name}={example}",
        ) from None


def _from_root(path: str) -> str:
    return str(Path(path).expanduser().resolve())


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError(value)
    return str(value)


def _number(value: Any) -> float:
    number = float(str(value))  # through str, so that True is refused
    if math.isnan(number):
        raise ValueError(value)
    return number


def _whole(value: Any) -> int:
    number = _number(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


kind2coercion: dict[Any, tuple[Callable[[Any], Any], str]] = {
    int: (_whole, "3"),
    float: (_number, "0.001"),
    str: (_text, "text"),
}
"""How a value of each field type is parsed, with an example."""
