"""What is dealt to folds: whole studies, or one of three ways that leak, to show what figures they make.

Nothing that leaks is compared with what does not. Three things make figures such as 91 % or 95.69 %:

- "series": the notebooks of the first seed join one embedding a study with one row of labels a series, on
  study_id, and split by row. A study with k series becomes k rows with one embedding and one set of labels,
  so that most rows of the test part stand in the training part too, and a model only has to remember. Here
  every series of a study makes a row, which is the leak at full strength.
- "slices": a study's slices are dealt to several rows. Neighbouring slices of one patient look alike and
  share a label, so a network recognises the patient.
- "training": fitted and judged on the same studies. The code of the second seed never evaluates what it holds
  out: its 95.69 % is what the network says of studies that it has learned by heart.

And accuracy flatters each of them: 78 % of all cells are Normal/Mild, which is what "Normal/Mild everywhere"
scores without a look at any image, with a macro-F1 near .3. The random forest of the first seed's notebooks
fills no label (empty ones are text there), and columns of axial slices are judged by foraminal labels.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kitlib.embed.tokens import Tokens
from kitlib.experiments.experiment import Split
from kitlib.inputs.slices import SliceDataset
from kitlib.terms import CELL_NAMES

SLICE_PARTS = 5
"""Rows that a study's slices are dealt to: as many as folds, so that nearly every study is in every fold."""

split2text: dict[Split, str] = {
    "studies": "whole studies",
    "series": "a row for each series of a study, split by row",
    "slices": "a study's slices dealt to several rows, split by row",
    "training": "judged on the studies that it was fitted on",
}


@dataclass(frozen=True, eq=False)
class Dealt:
    """Rows and their folds. Rows of a leaking split are numbered from 0; `study_of` tells their study."""

    features: SliceDataset
    labels: pd.DataFrame  # index row, the 25 columns of codes
    folds: pd.Series  # row to fold
    study_of: pd.Series  # row to study_id

    @property
    def cases(self) -> pd.DataFrame:
        """See `case_table`."""
        return case_table(self.labels, self.folds, self.study_of)


def case_table(labels: pd.DataFrame, folds: pd.Series, study_of: pd.Series) -> pd.DataFrame:
    """Rows with their codes, `fold`, `study` and `shared`: another row of the study is in another fold."""
    counts = folds.groupby(study_of).transform("nunique")
    return labels.assign(fold=folds, study=study_of, shared=counts > 1)


def deal(
    split: Split,
    features: SliceDataset,
    labels: pd.DataFrame,
    folds: pd.Series,
    *,
    series_counts: pd.Series,
    seed: int,
) -> Dealt:
    """SliceDataset of studies dealt to folds by a split.

    `labels` and `folds` (study_id to fold) hold every study; `series_counts` says how many series each has.
    """
    known = labels.loc[features.study_ids, list(CELL_NAMES)]
    own_folds = folds.loc[features.study_ids].rename("fold")
    if split == "series":
        counts = series_counts.reindex(features.study_ids).fillna(1).clip(lower=1).to_numpy(int)
        return _by_row(features.take(np.repeat(np.arange(len(features)), counts)), known, own_folds, seed)
    if split == "slices":
        return _by_row(sliced(features, SLICE_PARTS), known, own_folds, seed)
    study_of = pd.Series(features.study_ids, index=known.index, name="study_id")
    return Dealt(features, known, own_folds * 0 if split == "training" else own_folds, study_of)


def sliced(features: SliceDataset, parts: int) -> SliceDataset:
    """Each study `parts` times, each time with every `parts`-th slice of every sequence."""

    def dealt(tokens: Tokens) -> list[Tokens]:
        return [
            Tokens(tokens.embeddings[part::parts], tokens.positions_mm[part::parts]) for part in range(parts)
        ]

    tokens = {name: [one for study in bags for one in dealt(study)] for name, bags in features.tokens.items()}
    rows = np.repeat(np.arange(len(features)), parts)
    return SliceDataset(features.study_ids[rows], tokens, features.metadata.iloc[rows])


def _by_row(features: SliceDataset, labels: pd.DataFrame, folds: pd.Series, seed: int) -> Dealt:
    """Rows numbered from 0 and dealt to as many folds by chance, whatever study they are of."""
    rows = pd.RangeIndex(len(features), name="study_id")
    chance = np.random.default_rng(seed).permutation(np.arange(len(rows)) % folds.nunique())
    return Dealt(
        SliceDataset(rows.to_numpy(np.int64), features.tokens, features.metadata.set_axis(rows)),
        labels.loc[features.study_ids].set_axis(rows),
        pd.Series(chance, index=rows, name="fold"),
        pd.Series(features.study_ids, index=rows, name="study_id"),
    )
