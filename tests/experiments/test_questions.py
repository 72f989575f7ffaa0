"""Questions of the table: pairs that differ in one respect, compared on the same studies."""

from collections import Counter

import numpy as np
import pytest

from kitlib.competition.submission import to_rows
from kitlib.experiments.questions import PAIR_COLUMNS, QUESTIONS, pair_table, pairs
from kitlib.experiments.registry import experiments
from tests.competition.builders import make_labels

NAMES = [entry.name for entry in experiments("published") if not entry.leaks]


def test_every_question_has_pairs_among_the_published_systems() -> None:
    assert {question for question, *_ in pairs(NAMES)} == {question for question, *_ in QUESTIONS}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("lite0_attention_512_greyscale_svc", "lite0_average_512_greyscale_svc"),
        ("ct152_attention_512_equalised_svc", "ct152_attention_2048_equalised_svc"),
        ("ct152_average_512_greyscale_svc", "lite0_average_512_greyscale_svc"),
        ("lite0_attention_512_greyscale_svc", "r10t_attention_512_greyscale_svc"),
        ("r10t_attention_512_greyscale_svc_smote", "r10t_attention_512_greyscale_svc_none"),
        ("r10t_fusion_cascade", "r10t_attention_512_greyscale_networks_weighted"),
        ("pseudo_vae", "pseudo_mean"),
        ("views_vae", "views_none"),
        ("vit", "crops"),
    ],
)
def test_a_pair_differs_in_what_is_asked(first: str, second: str) -> None:
    assert (first, second) in {(one, other) for _, one, other in pairs(NAMES)}


def test_pairs_of_one_backbone_and_kind_of_model_differ_in_one_thing_and_an_svc_of_nothing_in_two() -> None:
    name2entry = {entry.name: entry for entry in experiments("published")}
    counts = Counter()
    for _, *names in pairs(NAMES):
        first, second = (name2entry[name] for name in names)
        backbones = {getattr(entry.input, "backbone", "crops") for entry in (first, second)}
        if type(first.model) is not type(second.model) or len(backbones) > 1:
            continue
        ones = first.to_json()["parameters"], vars(first.input)
        others = second.to_json()["parameters"], vars(second.input)
        differing = [name for one, other in zip(ones, others) for name in one if one[name] != other[name]]
        counts[len(differing)] += 1
        assert len(differing) == 1 or set(differing) == {"sampling", "balanced"}
    assert set(counts) == {1, 2}


def test_no_system_is_compared_with_itself_or_with_one_that_is_absent() -> None:
    assert all(first != second for _, first, second in pairs(NAMES))
    assert pairs(["r50_attention_512_equalised_svc"]) == []


def test_the_better_of_a_pair_is_named_only_where_the_whole_interval_says_so() -> None:
    labels = make_labels(60, empty=0)
    right = np.eye(3)[labels.to_numpy()]
    good, bad = (to_rows(labels.index, share * right + (1 - share) / 3) for share in (0.6, 0.2))
    first, second = "x_attention_y", "x_average_y"
    for predictions, better in (
        ({first: good, second: bad}, first),
        ({first: bad, second: good}, second),
        ({first: good, second: good}, ""),
    ):
        (row,) = pair_table(labels, predictions).to_dict("records")
        assert (row["first"], row["second"], row["better"]) == (first, second, better)
        assert row["low"] <= row["difference"] <= row["high"]
    assert pair_table(labels, {}).columns.tolist() == list(PAIR_COLUMNS)
