"""The family against the seed's own table, where it is at hand, and against itself."""

import re
from collections import Counter
from pathlib import Path

import pytest

from kitlib.experiments import published as seeds
from kitlib.experiments.experiment import Experiment
from kitlib.experiments.leaks import SLICE_PARTS
from kitlib.prepare.grey import GREY_OPTIONS

FAMILY = seeds.published_experiments()
TABLE = [entry for entry in FAMILY if entry.model == "pooled" and entry.published and not entry.leaks]
word2classifier = {
    "SVC": "svc",
    "LGBM": "lightgbm",
    "XGBoost": "xgboost",
    "Ensemble": "bagging",
    "Independent": "networks",
}


def key(entry: Experiment) -> tuple[object, ...]:
    """What the seed's table tells apart."""
    asked = entry.parameters
    classifier = asked["classifier"] + ("_weighted" if asked["weighted"] else "")
    return asked["width"] or 2048, entry.grey, asked["pooling"], entry.backbone, classifier


def key_of_line(words: str) -> tuple[object, ...]:
    classifier = next(name for word, name in word2classifier.items() if f" {word} " in words)
    return (
        int(re.search(r"1\\\*(\d+)", words)[1]),  # type: ignore[index]
        "equalised" if "Histogram" in words else "greyscale",
        "attention" if "Attention" in words else "average",
        "medicalnet_resnet152" if "MedicalNet" in words else "resnet50",
        classifier + ("_weighted" if "WEIGHTED" in words else ""),
    )


def seed_table(seeds_dir: Path) -> dict[tuple[object, ...], list[float]]:
    """The 42 rows of the seed that are not random predictions: accuracy, F1 and AUC as shares."""
    text = (seeds_dir / "multimodal_embeddings.md").read_text()
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| RF One Hot")]
    assert len(lines) == 44
    rows = [[one.strip() for one in line] for line in lines if "Random Predictions" not in line[0]]
    return {key_of_line(words): [float(one.rstrip("%")) / 100 for one in numbers] for words, *numbers in rows}


def test_a_table_row_has_a_system_of_its_own() -> None:
    assert len(TABLE) == len({key(entry) for entry in TABLE}) == 42


def test_every_row_of_the_seeds_table_is_an_experiment_with_its_figures(seeds_dir: Path) -> None:
    claimed = {key(entry): list(vars(entry.published).values()) for entry in TABLE}
    published = seed_table(seeds_dir)
    assert set(claimed) == set(published)
    for one, figures in published.items():
        assert claimed[one] == pytest.approx(figures, abs=1e-9)


def test_the_two_rows_of_random_predictions_are_one_experiment() -> None:
    (random,) = (entry for entry in FAMILY if entry.model == "random")
    assert random.published == seeds.RANDOM_RESULT


def test_names_are_unique_and_say_what_differs() -> None:
    names = [entry.name for entry in FAMILY]
    assert len(set(names)) == len(names)
    assert "r50_attention_512_equalised_svc" in names
    told = [(e.model, tuple(e.parameters.items()), e.grey, e.backbone, e.weights, e.split) for e in FAMILY]
    assert len(set(told)) == len(told)


def test_every_system_of_the_seeds_is_there_and_in_the_demo() -> None:
    counts = Counter(entry.model for entry in FAMILY if not entry.leaks)
    assert counts == {"prior": 1, "random": 1, "pooled": 64, "fusion": 8, "pseudo": 8, "vit": 2}
    demo = [entry for entry in FAMILY if entry.demo]
    assert {entry.name for entry in demo} == seeds.DEMO
    assert {entry.model for entry in demo} == set(counts)
    assert any(entry.leaks for entry in demo)


def test_the_demo_trains_no_backbone_first() -> None:
    assert {entry.backbone for entry in FAMILY if entry.demo} == {"", seeds.SHIPPED, seeds.PIXELS}
    assert {entry.weights for entry in FAMILY if entry.backbone == seeds.SHIPPED} == {"shipped"}


def test_nothing_is_done_about_imbalance_only_where_the_name_says_so() -> None:
    unbalanced = [entry for entry in FAMILY if not entry.parameters.get("balanced", True)]
    stems = ["r50_attention_512_equalised_svc", "r10t_attention_512_greyscale_svc"]
    assert [entry.name for entry in unbalanced] == [f"{stem}_none" for stem in stems]
    for plain, stem in zip(unbalanced, stems):
        balanced = next(entry for entry in FAMILY if entry.name == f"{stem}_balanced")
        assert balanced.with_parameters(balanced=False).parameters == plain.parameters
        assert "class-balanced SVC, no sampling" in balanced.description
        assert "balanced" not in plain.description


def test_a_leaking_twin_is_its_experiment_under_another_split() -> None:
    name2entry = {entry.name: entry for entry in FAMILY}
    twins = [entry for entry in FAMILY if entry.leaks]
    assert Counter(entry.split for entry in twins) == {"series": 9, "slices": 1, "training": 1}
    for twin in twins:
        honest = name2entry[twin.name.removesuffix(f"_leaking_{twin.split}")]
        of_steps = {"epochs": honest.parameters["epochs"] // SLICE_PARTS} if twin.split == "slices" else {}
        assert (twin.model, twin.parameters, twin.backbone, twin.published) == (
            honest.model,
            {**honest.parameters, **of_steps},
            honest.backbone,
            honest.published,
        )
        assert "LEAKS" in twin.description


def test_random_weights_are_asked_for_by_name_and_once() -> None:
    (random,) = (entry for entry in FAMILY if entry.weights not in ("", "shipped"))
    assert random.weights == "random"
    assert random.name.endswith("_random_weights")


def test_what_looks_at_no_image_has_no_backbone_trained_for_it() -> None:
    assert {entry.backbone for entry in FAMILY if entry.model in ("prior", "random")} == {""}


def test_what_is_asked_for_exists() -> None:
    assert {entry.grey for entry in FAMILY} <= {"", *GREY_OPTIONS}
    assert all(entry.description and entry.family == "seeds" for entry in FAMILY)
