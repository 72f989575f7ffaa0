"""An input: its spec (plain data), the encoder that makes it of a study, and the dataset that models read.

A new input is a frozen dataclass that derives from InputSpec and names its encoder; `register_input` makes
saved folds open with it. Nothing in `experiments`, `predict` or `run` knows which inputs there are.
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
    """Studies as a model reads them; row k of everything is about study_ids[k]."""

    study_ids: np.ndarray  # (n,) int64

    def __len__(self) -> int:
        return len(self.study_ids)

    @property
    @abstractmethod
    def present(self) -> np.ndarray:
        """Which of SEQUENCES each study has an image of: (n, 3) bool."""

    @abstractmethod
    def take(self, index: Any) -> Self:
        """The studies at these positions (integers, a slice or a mask), in that order."""

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
        """Each study `count` times, each time with every `count`-th slice; ModelError without slices."""
        raise ModelError(f"a {type(self).__name__} has no slices to share out", where=f"{count} parts")

    @cached_property
    def fingerprint(self) -> str:
        """Changes when anything that a model reads of a study does."""
        return self._digest()

    def check(self) -> None:
        """ModelError where a model could not read this; looked at once, what is taken of it not again."""
        if not self.__dict__.get("_is_checked"):
            self._check()
            self.__dict__["_is_checked"] = True

    def _trusted_as(self, other: "Dataset") -> Self:
        """This dataset, made of nothing but rows of the other one."""
        self.__dict__["_is_checked"] = other.__dict__.get("_is_checked")
        return self


@dataclass(frozen=True)
class Pretraining:
    """How a backbone without weights is trained on phantoms first."""

    studies: int = 300
    epochs: int = 4
    workers: int = 1


@dataclass(frozen=True)
class Resources:
    """What encoders may use: where weights may lie (see `find_weights`), inputs at once, and processes."""

    attached_dir: Path | None = None
    batch: int = 32
    without_weights: Pretraining | Literal["refuse", "random"] = "refuse"
    """What becomes of a backbone whose weights are nowhere and whose spec names none."""
    workers: int = 1


@dataclass(frozen=True)
class InputSpec(ABC):
    """All that shapes an input beside the study: plain data, saved beside every model as `input.json`.

    What an experiment leaves empty is the profile's choice: see `completed`.
    """

    kind: ClassVar[str]

    longest_px: int = 0
    """To which side slices are reduced when they are read."""

    @property
    def fingerprint(self) -> str:
        """Changes when the input does, and not with where files lie."""
        return fingerprint(self.kind, self.identity())

    def identity(self) -> dict[str, Any]:
        """The fields on which the input depends."""
        return dataclasses.asdict(self)

    def completed(self, defaults: Mapping[str, Any]) -> Self:
        """The spec with its empty fields taken from `defaults`, by name."""
        empty = {name for name, value in dataclasses.asdict(self).items() if value in ("", 0)}
        return dataclasses.replace(self, **{name: defaults[name] for name in empty & defaults.keys()})

    @abstractmethod
    def encoder(self, resources: Resources) -> "Encoder":
        """What makes this input; WeightsError or ArtefactError where its weights are not to be had."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is, in a few words for a table."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"kind": self.kind, **dataclasses.asdict(self)}

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save as a folder's `input.json`."""
        save_json(Path(folder) / INPUT_FILE, self.to_json(), provenance)


class Encoder(ABC):
    """Makes one input of studies; `spec` says all of it, the sha256 of weights included."""

    spec: InputSpec

    @property
    def label(self) -> str:
        """What the input was made with, in a few words for a table."""
        return self.spec.label

    @property
    def recipe(self) -> dict[str, Any]:
        """All that shapes what it makes of a study: the spec, and the code."""
        return {**self.spec.identity(), "code": code_fingerprint(type(self))}

    @abstractmethod
    def encode(self, study: Study, ledger: Ledger) -> Dataset:
        """A dataset of one study, from prepared stacks: what streaming uses. Nothing is kept on disk."""

    @abstractmethod
    def dataset(self, studies: PreparedStudies, cache: Path) -> Dataset:
        """The dataset of many studies; what is dear to make is kept under `cache`, and found there again."""


_kind2place = {
    "slices": "kitlib.inputs.slices:SliceInput",
    "pixels": "kitlib.inputs.pixels:PixelInput",
    "crops": "kitlib.inputs.crops:CropInput",
}
"""The kit's own inputs by kind, imported when a saved fold asks for one."""
_registered: dict[str, type[InputSpec]] = {}


def register_input(spec: type[InputSpec]) -> type[InputSpec]:
    """Let saved folds open with this input, by its `kind`; a class decorator. UsageError if that is taken."""
    if spec.kind in _kind2place:
        _input_of(spec.kind)  # the kit's own may not be loaded yet
    refuse_taken(spec.kind, spec, _registered, "input")
    _registered[spec.kind] = spec
    return spec


def input_from_json(values: Mapping[str, Any]) -> InputSpec:
    """The spec that `to_json` described; ArtefactError on a kind or field that the kit does not know."""
    fields = dict(values)
    kind = fields.pop("kind", "")
    try:
        return _input_of(kind)(**fields)
    except (KeyError, TypeError):
        what = f"an input of an unknown kind or form: {kind!r}"
        raise ArtefactError(what, hint="Update the kit.") from None


def _input_of(kind: str) -> type[InputSpec]:
    """The input of this kind, imported where it is the kit's own; KeyError where there is none."""
    if kind not in _registered:
        module, _, name = _kind2place[kind].partition(":")
        _registered[kind] = getattr(import_module(module), name)
    return _registered[kind]


def load_input(folder: Path) -> InputSpec:
    """The input of the model that a folder holds; ArtefactError where none is said."""
    return input_from_json(load_json(Path(folder) / INPUT_FILE))
