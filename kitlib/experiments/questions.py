"""Questions about the results table, each answered by pairs of experiments that differ in one respect.

Pairs on the same backbone with the same kind of model differ in nothing else, except that an SVC without
sampling has no class weights either. Pairs of backbones also differ in size and training data, some in field
of view, and pairs of models in everything about them: they show which system is better, not why.
"""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from kitlib.evaluate.compare import difference_interval

QUESTIONS = (
    ("attention that is trained, or the mean of slices?", "_attention_", "_average_"),
    ("512 learned columns, or 2,048 as they are?", "_512_", "_2048_"),
    ("equalised slices, or their greys?", "_equalised_", "_greyscale_"),
    ("SVC: SMOTE, or nothing?", "_svc_smote$", "_svc_none"),
    ("SVC: class weights, or nothing?", "_svc_balanced$", "_svc_none"),
    ("SVC: SMOTE, or class weights?", "_svc_smote$", "_svc_balanced"),
    ("LightGBM: SMOTE, or nothing?", "_lightgbm$", "_lightgbm_none"),
    ("networks: a weighted loss, or a plain one?", "_networks_weighted$", "_networks"),
    (
        "fusion, or a network for each cell?",
        "^r10t_fusion_.*",
        "r10t_attention_512_greyscale_networks_weighted",
    ),
    ("fusion, or a network for each cell?", "^fusion_.*", "r50_attention_512_equalised_networks_weighted"),
    ("an imputer, or the mean, where nothing is missing?", "^pseudo_(?!mean$).*", "pseudo_mean"),
    ("a filler of views, or masked fusion, where nothing is missing?", "^views_(?!none$).*", "views_none"),
    ("three dimensions, or two?", "^ct152_", "lite0_"),
    ("three dimensions, or two?", "^m152_", "r50_"),
    ("real images seen, or phantoms?", "^(lite0|ct152)_", "r10t_"),
    ("anything published, or the crop model?", "^(r10t|r50|lite0|ct152|fusion|vit).*", "crops"),
)
"""A question, a pattern in the first experiment's name, and its replacement in the second's."""
PAIR_COLUMNS = ("question", "first", "second", "difference", "low", "high", "better")


def pairs(names: Iterable[str]) -> list[tuple[str, str, str]]:
    """Each question with the names of a pair of experiments, if both are among `names`."""
    known = dict.fromkeys(names)
    found = [
        (question, name, re.sub(pattern, other, name))
        for question, pattern, other in QUESTIONS
        for name in known
        if re.search(pattern, name)
    ]
    return [(question, first, second) for question, first, second in found if second in known]


def pair_table(labels: pd.DataFrame, predictions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """PAIR_COLUMNS of every pair: the score of the first minus that of the second, on the same studies.

    `predictions` are out-of-fold rows by experiment. `better` names the experiment favoured by the whole
    95 % interval, and is empty if there is none. Of twenty pairs one is expected to be wrong.
    """
    rows = []
    for question, first, second in pairs(predictions):
        interval = difference_interval(labels, predictions[first], predictions[second])
        better = first if interval.high < 0 else second if interval.low > 0 else ""
        rows.append((question, first, second, interval.estimate, interval.low, interval.high, better))
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
