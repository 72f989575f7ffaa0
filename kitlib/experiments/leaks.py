"""Splits into folds: by whole studies, or in one of three ways that leak, to show the figures they produce.

Leaking results are never compared with others. Three leaks produce figures such as 91 % or 95.69 %:

- "series": the notebooks of the first project join one embedding per study with one row of labels per series,
  on study_id, and split by row. A study with k series becomes k rows with the same embedding and labels, so
  most test rows are in the training set too, and a model only has to memorise them. Here every series of a
  study makes a row, which is the leak at full strength.
- "slices": a study's slices are split over several rows. Neighbouring slices of one patient look alike and
  share a label, so a network recognises the patient.
- "training": fitted and evaluated on the same studies. The second project's code never evaluates its held-out
  data: its 95.69 % is accuracy on training studies that the network has memorised.

Accuracy flatters each of them as well: 78 % of all cells are Normal/Mild, so "Normal/Mild everywhere" scores
that without any image, with a macro-F1 near 0.3. The first project's random forest imputes no label (empty
ones are text there), and its columns of axial slices are evaluated against foraminal labels.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kitlib.errors import ModelError
from kitlib.experiments.experiment import Experiment, SplitName
from kitlib.inputs.base import Dataset
from kitlib.terms import CELL_NAMES

SLICE_PARTS = 5
"""Rows that a study's slices are split into: as many as folds, so nearly every study is in every fold."""

split2text: dict[SplitName, str] = {
    "studies": "whole studies",
    "series": "a row for each series of a study, split by row",
    "slices": "a study's slices dealt to several rows, split by row",
    "training": "judged on the studies that it was fitted on",
}


@dataclass(frozen=True, eq=False)
class Split:
    """Rows and their folds. Rows of a leaking split are numbered from 0; `study_of` gives their study."""

    data: Dataset
    labels: pd.DataFrame  # index row, the 25 columns of codes
    folds: pd.Series  # row to fold
    study_of: pd.Series  # row to study_id


def row_table(labels: pd.DataFrame, folds: pd.Series, study_of: pd.Series) -> pd.DataFrame:
    """Label codes with `fold`, `study` and `shared`: whether the study has rows in other folds too."""
    counts = folds.groupby(study_of).transform("nunique")
    return labels.assign(fold=folds, study=study_of, shared=counts > 1)


def twin(entry: Experiment, split: SplitName) -> Experiment:
    """The same experiment with a leaking split."""
    text = f"{entry.about.text}; LEAKS: {split2text[split]}"
    return replace(
        entry,
        name=f"{entry.name}_leaking_{split}",
        protocol=replace(entry.protocol, split=split),
        about=replace(entry.about, text=text, twin_of=entry.name),
    )


def make_split(
    name: SplitName,
    data: Dataset,
    labels: pd.DataFrame,
    folds: pd.Series,
    *,
    series_counts: pd.Series | None = None,
    seed: int = 0,
) -> Split:
    """Split a dataset into folds; raises ModelError if a study has no labels or fold, or occurs twice.

    `labels` and `folds` (study_id to fold) hold every study; `series_counts`, for "series", is the number of
    series of each.
    """
    _refuse_unknown(data, labels, folds)
    known = labels.loc[data.study_ids, list(CELL_NAMES)]
    own_folds = folds.loc[data.study_ids].rename("fold")
    if name == "series":
        counts = pd.Series(1, index=known.index) if series_counts is None else series_counts
        repeats = counts.reindex(data.study_ids).fillna(1).clip(lower=1).to_numpy(int)
        return _by_row(data.take(np.repeat(np.arange(len(data)), repeats)), known, own_folds, seed)
    if name == "slices":
        return _by_row(data.parts(SLICE_PARTS), known, own_folds, seed)
    study_of = pd.Series(data.study_ids, index=known.index, name="study_id")
    return Split(data, known, own_folds * 0 if name == "training" else own_folds, study_of)


def _by_row(data: Dataset, labels: pd.DataFrame, folds: pd.Series, seed: int) -> Split:
    """Rows numbered from 0 and assigned to as many folds at random, regardless of their study."""
    rows = pd.RangeIndex(len(data), name="study_id")
    chance = np.random.default_rng(seed).permutation(np.arange(len(rows)) % folds.nunique())
    return Split(
        data.renumbered(rows.to_numpy(np.int64)),
        labels.loc[data.study_ids].set_axis(rows),
        pd.Series(chance, index=rows, name="fold"),
        pd.Series(data.study_ids, index=rows, name="study_id"),
    )


def _refuse_unknown(data: Dataset, labels: pd.DataFrame, folds: pd.Series) -> None:
    unknown = set(data.study_ids.tolist()) - set(labels.index.intersection(folds.index))
    if unknown or len(data) != len(set(data.study_ids.tolist())):
        raise ModelError(
            f"{len(unknown)} of {len(data)} studies have no labels or no fold, or one occurs twice",
            where=f"first: {min(unknown, default='')}",
            hint="Use studies of the label table, and assign all of them to folds.",
        )
