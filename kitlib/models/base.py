"""The base class of models: fit on a dataset and its labels, predict probabilities, save and load as data.

A new model is a dataclass whose fields are its parameters. It derives from Model and implements `_fit` and
`_predict`; arrays that it keeps in `state` are saved and loaded for it, and for anything else it overrides
`_save` and `_load`. Once registered under its name, it gets the checks here and the contract tests.
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
"""Columns of a learning curve: `part` names the member or group that was trained; either loss may be NaN."""


@dataclass
class Model(ABC):
    """Predicts an (n, 25, 3) array of probabilities from a dataset of the kind that it `reads`.

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
        """Raise UsageError if a parameter is not of the type of its default."""
        for entry in fields(self):
            _check_type(f"{self.name}.{entry.name}", getattr(self, entry.name), entry.default)
        self.prior = np.full((len(CELLS), len(SEVERITIES)), np.nan)  # NaN until fitted
        self.curve = pd.DataFrame(columns=list(CURVE_COLUMNS))
        self.state: dict[str, np.ndarray] = {}  # fitted arrays, saved and loaded by the base class
        self.notes: list[str] = []  # what a user should know about the fit: where it did not go as requested

    def fit(self, data: Dataset, labels: np.ndarray, *, seed: int) -> Self:
        """Fit on studies with labels (n, 25), ignoring EMPTY cells. The inputs are not modified.

        Raises ModelError if the labels do not match the studies or are all EMPTY, or if an embedding is not
        finite.
        """
        labels = np.asarray(labels)
        if labels.shape != (len(data), len(CELLS)):
            raise ModelError(
                f"labels of shape {labels.shape} do not match {len(data)} studies",
                where=self.name,
                hint=f"Give one row of {len(CELLS)} codes for each study.",
            )
        if (labels == EMPTY).all():
            raise ModelError("no labelled cell to fit on", where=self.name, hint="Pass labelled studies.")
        self._check(data)
        self.prior = Prior.fit(pd.DataFrame(labels, columns=list(CELL_NAMES))).probabilities
        self.notes = []
        self._fit(data, labels, seed)
        return self

    def predict(self, data: Dataset) -> np.ndarray:
        """Predict probabilities (n, 25, 3), float64: finite, and summing to one for each cell.

        Raises ModelError if the model is not fitted or an embedding is not finite: NaN is a fault of whatever
        made it, and imputing it would hide that. Metadata may contain NaN.
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
        """Save the model into a folder; `model.json`, which marks it complete, is written last."""
        self._save(Path(folder), provenance)
        content = {"model": self.name, "parameters": asdict(self), "prior": self.prior.tolist()}
        content |= {"notes": self.notes, "state": list(self.state)}
        save_json(Path(folder) / MODEL_FILE, content, provenance)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what `save` wrote. Raises ModelError if it is another kind of model."""
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
        """Return the weights that a fit starts from; None if it does not start from a file."""
        return None

    def note(self, text: str) -> None:
        """Add a note about the fit, unless it is there already."""
        if text and text not in self.notes:
            self.notes.append(text)

    def shared_stage(self) -> Hashable:
        """Key of the first stage of a fit: fits with equal keys, other than None, share it in one process."""
        return None

    def make_shared(self, data: Any) -> None:  # noqa: B027
        """Compute once what fits on parts of this data would each recompute; it travels with the data."""

    def _check_fitted(self) -> None:
        if not np.isfinite(self.prior).all():
            raise ModelError("the model is not fitted", where=self.name, hint="Call fit or load first.")

    def _check(self, data: Dataset) -> None:
        if not isinstance(data, self.reads):
            raise ModelError(
                f"the model reads a {self.reads.__name__}, not a {type(data).__name__}",
                where=self.name,
                hint="Give the experiment the input that its model reads.",
            )
        data.check()

    @abstractmethod
    def _fit(self, data: Any, labels: np.ndarray, seed: int) -> None: ...

    @abstractmethod
    def _predict(self, data: Any) -> np.ndarray: ...

    def _save(self, folder: Path, provenance: Provenance) -> None:
        """Save what was learned beside `model.json`: the arrays of `state`, unless overridden."""
        for name, array in self.state.items():
            save_array(folder / f"{name}.npy", array, provenance)

    def _load(self, folder: Path) -> None:
        """Load what `_save` wrote; `state` already has the names of its arrays."""
        self.state = {name: load_array(folder / f"{name}.npy") for name in self.state}


def _check_type(place: str, value: Any, default: Any) -> None:
    """Raise UsageError unless the value has the type of the default; an int is accepted for a float."""
    kind = type(default)
    fits = default is MISSING or type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise UsageError(f"{value!r} is not of type {kind.__name__}", where=place)
