"""`lightgbm`: boosted trees on pooled embeddings and metadata, grown on top of the prior."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from scipy.special import softmax

from kitlib.artefacts import Provenance, load_json, load_text, save_json, save_text
from kitlib.competition.metric import group2cells
from kitlib.errors import known_name
from kitlib.inputs.slices import SliceDataset
from kitlib.models.base import CURVE_COLUMNS, Model
from kitlib.models.common.cell_table import CellTable
from kitlib.models.common.training_rows import SAMPLERS, inner_splits, resampled
from kitlib.terms import EMPTY, SEVERITIES, SEVERITY_WEIGHTS

if TYPE_CHECKING:
    import lightgbm

Cells = tuple[np.ndarray, np.ndarray]
"""Rows (n, cells, columns) and labels (n, cells) with EMPTY."""
GROUPS_FILE = "boosters.json"
PRIOR_COLUMNS = slice(-len(SEVERITIES), None)
"""Where a cell's row holds its log prior, from which boosting starts."""


@dataclass
class LightGBMModel(Model):
    """One booster per condition group; inner cross-validation chooses the number of trees."""

    name: ClassVar[str] = "lightgbm"

    components: int = 12
    trees: int = 200
    learning_rate: float = 0.04
    leaves: int = 4
    min_rows_a_leaf: int = 10
    inner_parts: int = 4
    sampling: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        known_name(self.sampling, SAMPLERS, "sampling")
        self.boosters: dict[str, lightgbm.Booster] = {}

    def _fit(self, data: SliceDataset, labels: np.ndarray, seed: int) -> None:
        self.table = CellTable().fit(data, self.prior, components=self.components, seed=seed)
        rows = self.table.transform(data)
        splits = inner_splits(labels, self.inner_parts, seed=seed)
        self.boosters, curves = {}, []
        for group, cells in group2cells.items():
            if (labels[:, cells] == EMPTY).all():
                continue  # no labels: the group keeps the prior
            known = rows[:, cells], labels[:, cells]
            curve = self._cross_validated(known, splits, seed)
            curves.append(curve.assign(part=group))
            trees = int(np.nanargmin(curve["valid_loss"])) if curve["valid_loss"].notna().any() else 0
            if trees:
                self.boosters[group], _ = self._grow(known, trees, seed)
        self.curve = pd.concat(curves)[list(CURVE_COLUMNS)]

    def _predict(self, data: SliceDataset) -> np.ndarray:
        rows = self.table.transform(data)
        logits = rows[..., PRIOR_COLUMNS].copy()
        for group, booster in self.boosters.items():
            cells = group2cells[group]
            flat = rows[:, cells].reshape(-1, rows.shape[2])
            logits[:, cells] += np.asarray(booster.predict(flat, raw_score=True)).reshape(-1, len(cells), 3)
        return softmax(logits, axis=-1)

    def _cross_validated(
        self, cells: Cells, splits: list[tuple[np.ndarray, np.ndarray]], seed: int
    ) -> pd.DataFrame:
        """Mean loss by number of trees, on training and on held-out studies."""
        rows, labels = cells
        curves = [
            self._grow((rows[train], labels[train]), self.trees, seed, (rows[held], labels[held]))[1]
            for train, held in splits
            if (labels[train] != EMPTY).any() and (labels[held] != EMPTY).any()
        ]
        if not curves:
            return pd.DataFrame(columns=["epoch", "train_loss", "valid_loss"], dtype=float)
        return pd.concat(curves).groupby("epoch", as_index=False).mean()

    def _grow(
        self, cells: Cells, trees: int, seed: int, held_out: Cells | None = None
    ) -> "tuple[lightgbm.Booster, pd.DataFrame]":
        """Train a booster; also returns its learning curve."""
        import lightgbm

        sampled, severities, note = resampled(self.sampling, *_labelled(cells), seed=seed)
        self.note(note)
        rated = {"train_loss": _dataset(sampled, severities)}
        if held_out:
            rated["valid_loss"] = _dataset(*_labelled(held_out), rated["train_loss"])
        losses: dict[str, dict[str, list[float]]] = {}
        booster = lightgbm.train(
            self._parameters(seed), rated["train_loss"], trees,
            valid_sets=list(rated.values()), valid_names=list(rated),
            callbacks=[lightgbm.record_evaluation(losses)],
        )  # fmt: skip
        curve = {name: [_prior_loss(data), *losses[name]["multi_logloss"]] for name, data in rated.items()}
        return booster, pd.DataFrame(curve).rename_axis("epoch").reset_index()

    def _parameters(self, seed: int) -> dict[str, Any]:
        return {
            "objective": "multiclass", "num_class": len(SEVERITIES), "metric": "multi_logloss",
            "learning_rate": self.learning_rate, "num_leaves": self.leaves,
            "min_data_in_leaf": self.min_rows_a_leaf, "lambda_l2": 5.0, "feature_fraction": 0.4,
            "bagging_fraction": 0.7, "bagging_freq": 1, "seed": seed, "num_threads": 1,
            "deterministic": True, "force_col_wise": True, "feature_pre_filter": False, "verbosity": -1,
        }  # fmt: skip

    def _save(self, folder: Path, provenance: Provenance) -> None:
        self.table.save(folder, provenance)
        for group, booster in self.boosters.items():
            save_text(folder / f"{group}.txt", booster.model_to_string(), provenance)
        save_json(folder / GROUPS_FILE, list(self.boosters), provenance)

    def _load(self, folder: Path) -> None:
        self.table = CellTable.load(folder, self.prior)
        self.boosters = {
            group: booster_of(load_text(folder / f"{group}.txt")) for group in load_json(folder / GROUPS_FILE)
        }


def booster_of(text: str) -> "lightgbm.Booster":
    """Parse a booster. Raises ValueError if the text is truncated, at which LightGBM ends the process."""
    import lightgbm

    if "\nend of trees" not in text:
        raise ValueError("the text of a booster is cut short")
    return lightgbm.Booster(model_str=text)


def _labelled(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    rows, labels = cells
    labelled = labels != EMPTY
    return rows[labelled], labels[labelled]


def _dataset(
    rows: np.ndarray, severities: np.ndarray, reference: "lightgbm.Dataset | None" = None
) -> "lightgbm.Dataset":
    import lightgbm

    weights = np.take(SEVERITY_WEIGHTS, severities)
    start = rows[:, PRIOR_COLUMNS]
    return lightgbm.Dataset(rows, severities, reference, weights, init_score=start, free_raw_data=False)


def _prior_loss(data: "lightgbm.Dataset") -> float:
    """Weighted log loss of a data set before the first tree."""
    severities = np.asarray(data.get_label(), dtype=int)
    log_priors = np.reshape(np.asarray(data.get_init_score()), (len(severities), -1))
    return float(-np.average(log_priors[np.arange(len(severities)), severities], weights=data.get_weight()))
