"""An input: its spec (plain data), the encoder that makes it from a study, and the dataset that models read.

A new input is a frozen dataclass that derives from InputSpec and names its encoder; `register_input` lets
saved folds load with it. Nothing in `experiments`, `predict` or `run` knows which inputs exist.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from kitlib.artefacts import Provenance, fingerprint, load_json, save_json
from kitlib.code import code_fingerprint
from kitlib.errors import ArtefactError, ModelError, refuse_taken
from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Study
from kitlib.prepare.studies import PreparedStudies

INPUT_FILE = "input.json"


class Dataset(ABC):
    """Studies as a model reads them; row k of everything belongs to study_ids[k]."""

    study_ids: np.ndarray  # (n,) int64

    def __len__(self) -> int:
        return len(self.study_ids)

    @property
    @abstractmethod
    def present(self) -> np.ndarray:
        """Mask (n, 3) of the SEQUENCES of which each study has an image."""

    @abstractmethod
    def take(self, index: Any) -> Self:
        """Select studies by position (integers, a slice or a mask), in that order."""

    @abstractmethod
    def without(self, removed: np.ndarray) -> Self:
        """The studies as if the sequences `removed` (n, 3) had not been acquired."""

    @abstractmethod
    def renumbered(self, study_ids: np.ndarray) -> Self:
        """The same rows under other ids (n,)."""

    @abstractmethod
    def _digest(self) -> str: ...

    @abstractmethod
    def _check(self) -> None: ...

    def parts(self, count: int) -> Self:
        """Split each study into `count` rows, each with every `count`-th slice; ModelError without slices."""
        raise ModelError(f"a {type(self).__name__} has no slices to share out", where=f"{count} parts")

    @cached_property
    def fingerprint(self) -> str:
        """Changes when anything that a model reads changes."""
        return self._digest()

    def check(self) -> None:
        """Raise ModelError if a model could not read this; checked once, and not again for its subsets."""
        if not self.__dict__.get("_is_checked"):
            self._check()
            self.__dict__["_is_checked"] = True

    def _trusted_as(self, other: "Dataset") -> Self:
        """Return this dataset, made only of rows of `other`, as checked if that one is."""
        self.__dict__["_is_checked"] = other.__dict__.get("_is_checked")
        return self


@dataclass(frozen=True)
class Pretraining:
    """How a backbone without weights is pretrained on phantoms."""

    studies: int = 300
    epochs: int = 4
    workers: int = 1


@dataclass(frozen=True)
class Resources:
    """What encoders may use: a folder of weights (see `find_weights`), a batch size, and processes."""

    attached_dir: Path | None = None
    batch: int = 32
    without_weights: Pretraining | Literal["refuse", "random"] = "refuse"
    """What to do for a backbone whose spec names no weights and for which none are found."""
    workers: int = 1


@dataclass(frozen=True)
class InputSpec(ABC):
    """Everything that defines an input except the study: plain data, saved with every model as `input.json`.

    Fields that an experiment leaves empty are filled by the profile: see `completed`.
    """

    kind: ClassVar[str]

    longest_px: int = 0
    """The longest side to which slices are reduced when they are read."""

    @property
    def fingerprint(self) -> str:
        """Changes with the input, but not with the location of files."""
        return fingerprint(self.kind, self.identity())

    def identity(self) -> dict[str, Any]:
        """The fields on which the input depends."""
        return dataclasses.asdict(self)

    def completed(self, defaults: Mapping[str, Any]) -> Self:
        """The spec with its empty fields filled from `defaults`, by name."""
        empty = {name for name, value in dataclasses.asdict(self).items() if value in ("", 0)}
        return dataclasses.replace(self, **{name: defaults[name] for name in empty & defaults.keys()})

    @abstractmethod
    def encoder(self, resources: Resources) -> "Encoder":
        """The encoder that makes this input; raises WeightsError or ArtefactError if it lacks its weights."""

    @property
    @abstractmethod
    def label(self) -> str:
        """A short description for a table."""

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON-able values."""
        return {"kind": self.kind, **dataclasses.asdict(self)}

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save as `input.json` in a folder."""
        save_json(Path(folder) / INPUT_FILE, self.to_json(), provenance)


class Encoder(ABC):
    """Make one input from studies; `spec` defines it fully, including the sha256 of weights."""

    spec: InputSpec

    @property
    def label(self) -> str:
        """A short description of what makes the input, for a table."""
        return self.spec.label

    @property
    def recipe(self) -> dict[str, Any]:
        """Everything that determines the output for a study: the spec and the code."""
        return {**self.spec.identity(), "code": code_fingerprint(type(self))}

    @abstractmethod
    def encode(self, study: Study, ledger: Ledger) -> Dataset:
        """Encode one study from prepared stacks, as streaming does. Nothing is written to disk."""

    @abstractmethod
    def dataset(self, studies: PreparedStudies, cache: Path) -> Dataset:
        """Encode many studies; what is expensive is stored under `cache` and reused."""


_kind2place = {
    "slices": "kitlib.inputs.slices:SliceInput",
    "pixels": "kitlib.inputs.pixels:PixelInput",
    "crops": "kitlib.inputs.crops:CropInput",
}
"""The built-in inputs by kind, imported when a saved fold needs one."""
_registered: dict[str, type[InputSpec]] = {}


def register_input(spec: type[InputSpec]) -> type[InputSpec]:
    """Class decorator: let saved folds load this input by its `kind`; raises UsageError if that is taken."""
    if spec.kind in _kind2place:
        _input_of(spec.kind)  # a built-in one may not be loaded yet
    refuse_taken(spec.kind, spec, _registered, "input")
    _registered[spec.kind] = spec
    return spec


def input_from_json(values: Mapping[str, Any]) -> InputSpec:
    """The inverse of `InputSpec.to_json`; raises ArtefactError for an unknown kind or field."""
    fields = dict(values)
    kind = fields.pop("kind", "")
    try:
        return _input_of(kind)(**fields)
    except (KeyError, TypeError):
        what = f"an input of an unknown kind or form: {kind!r}"
        raise ArtefactError(what, hint="Update the kit.") from None


def _input_of(kind: str) -> type[InputSpec]:
    """The input of this kind, imported if it is built in; raises KeyError if there is none."""
    if kind not in _registered:
        module, _, name = _kind2place[kind].partition(":")
        _registered[kind] = getattr(import_module(module), name)
    return _registered[kind]


def load_input(folder: Path) -> InputSpec:
    """Load the input spec of the model in a folder; raises ArtefactError if there is none."""
    return input_from_json(load_json(Path(folder) / INPUT_FILE))
