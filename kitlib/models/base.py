"""What a model is: fitted on a dataset and its labels, asked for probabilities, saved and opened as data.

A new model is a dataclass whose fields are its parameters. It derives from Model and implements `_fit` and
`_predict`; arrays that it keeps in `state` are saved and opened for it, for other things it has a `_save` and
a `_load` of its own. Registered under its name, it has the checks here and the contract tests for its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance, load_array, load_json, save_array, save_json
from kitlib.competition.priors import Prior
from kitlib.errors import ModelError, UsageError
from kitlib.inputs.base import Dataset
from kitlib.inputs.slices import SliceDataset
from kitlib.terms import CELL_NAMES, CELLS, EMPTY, SEVERITIES

if TYPE_CHECKING:
    from kitlib.embed.weights.sources import WeightsSource

MODEL_FILE = "model.json"
CURVE_COLUMNS = ("part", "epoch", "train_loss", "valid_loss")
"""A learning curve's columns: part names the member or group that was trained; both losses may be NaN."""


@dataclass
class Model(ABC):
    """One way from a dataset, of the kind that it `reads`, to an (n, 25, 3) array of probabilities.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Optimist(Model):
    ...     name = "optimist"
    ...     chance: float = 0.9
    ...     def _fit(self, data, labels, seed): ...
    ...     def _predict(self, data):
    ...         return np.full((len(data), 25, 3), [self.chance, 0.05, 0.05])
    >>> Optimist(chance=0.8)
    Optimist(chance=0.8)
    """

    name: ClassVar[str]
    reads: ClassVar[type[Dataset]] = SliceDataset

    def __post_init__(self) -> None:
        """Refuse, with a UsageError, a parameter of another type than its default."""
        for entry in fields(self):
            _check_type(f"{self.name}.{entry.name}", getattr(self, entry.name), entry.default)
        self.prior = np.full((len(CELLS), len(SEVERITIES)), np.nan)  # NaN until fitted
        self.curve = pd.DataFrame(columns=list(CURVE_COLUMNS))
        self.state: dict[str, np.ndarray] = {}  # what a fit has learned, as far as arrays say it
        self.notes: list[str] = []  # what a user should know of the fit: where it did not go as asked

    def fit(self, data: Dataset, labels: np.ndarray, *, seed: int) -> Self:
        """Fit on studies with labels (n, 25); EMPTY cells are not fitted on. Inputs are left as they are.

        ModelError if labels do not belong to the studies, none is known, or an embedding is not finite.
        """
        labels = np.asarray(labels)
        if labels.shape != (len(data), len(CELLS)):
            raise ModelError(
                f"labels of shape {labels.shape} do not belong to {len(data)} studies",
                where=self.name,
                hint=f"Give one row of {len(CELLS)} codes for each study.",
            )
        if (labels == EMPTY).all():
            raise ModelError("no labelled cell to fit on", where=self.name, hint="Give it labelled studies.")
        self._check(data)
        self.prior = Prior.fit(pd.DataFrame(labels, columns=list(CELL_NAMES))).probabilities
        self.notes = []
        self._fit(data, labels, seed)
        return self

    def predict(self, data: Dataset) -> np.ndarray:
        """Probabilities (n, 25, 3), float64: finite, and each cell's sum to one.

        ModelError if the model is not fitted or an embedding is not finite: NaN is a fault of whatever made
        it, and a filled-in value would hide that. Metadata may hold NaN.
        """
        self._check_fitted()
        if not len(data):
            return np.empty((0, *self.prior.shape))
        self._check(data)
        probabilities = np.asarray(self._predict(data), dtype=np.float64)
        if not np.isfinite(probabilities).all():
            raise ModelError("the model predicts NaN", where=self.name, hint="Lower its learning rate.")
        return probabilities / probabilities.sum(axis=-1, keepdims=True)

    def save(self, folder: Path, provenance: Provenance) -> None:
        """Save the model into a folder; `model.json`, which names and completes it, is written last."""
        self._save(Path(folder), provenance)
        content = {"model": self.name, "parameters": asdict(self), "prior": self.prior.tolist()}
        content |= {"notes": self.notes, "state": list(self.state)}
        save_json(Path(folder) / MODEL_FILE, content, provenance)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open what `save` wrote; ModelError if it is another kind of model."""
        content = load_json(Path(folder) / MODEL_FILE)
        if content["model"] != cls.name:
            raise ModelError(
                f"the folder holds a {content['model']}, not a {cls.name}",
                where=folder,
                hint="Use load_model.",
            )
        model = cls(**content["parameters"])
        model.prior = np.array(content["prior"])
        model.notes = content.get("notes", [])  # absent in models of version 0.1
        model.state = dict.fromkeys(content.get("state", []), np.empty(0))  # absent before version 0.2
        model._load(Path(folder))
        return model

    def pretrained_source(self) -> "WeightsSource | None":
        """The weights that a fit starts from, where it starts from a file."""
        return None

    def note(self, text: str) -> None:
        """Keep a note of the fit, once."""
        if text and text not in self.notes:
            self.notes.append(text)

    def shared_stage(self) -> Hashable:
        """What a fit begins with; fits of which it is the same, and not None, share it in one process."""
        return None

    def make_shared(self, data: Any) -> None:  # noqa: B027
        """Make once what fits on parts of this data would each make, to go along to their processes."""

    def _check_fitted(self) -> None:
        if not np.isfinite(self.prior).all():
            raise ModelError("the model is not fitted", where=self.name, hint="Call fit or load first.")

    def _check(self, data: Dataset) -> None:
        if not isinstance(data, self.reads):
            raise ModelError(
                f"it reads a {self.reads.__name__}, not a {type(data).__name__}",
                where=self.name,
                hint="Give the experiment the input that its model reads.",
            )
        data.check()

    @abstractmethod
    def _fit(self, data: Any, labels: np.ndarray, seed: int) -> None: ...

    @abstractmethod
    def _predict(self, data: Any) -> np.ndarray: ...

    def _save(self, folder: Path, provenance: Provenance) -> None:
        """Save what was learned beside `model.json`: the arrays of `state`, unless there is more."""
        for name, array in self.state.items():
            save_array(folder / f"{name}.npy", array, provenance)

    def _load(self, folder: Path) -> None:
        """Open what `_save` wrote; `state` has the names of its arrays already."""
        self.state = {name: load_array(folder / f"{name}.npy") for name in self.state}


def _check_type(place: str, value: Any, default: Any) -> None:
    """A whole number may stand for a float; nothing else may stand for something else."""
    kind = type(default)
    fits = default is MISSING or type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise UsageError(f"{value!r} is not of type {kind.__name__}", where=place)
