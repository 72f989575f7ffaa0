"""The published family, checked against the original table, if available, and for consistency."""

import re
from collections import Counter
from pathlib import Path

import pytest

from kitlib.experiments import backbones, published
from kitlib.experiments.experiment import PROFILES_CHOICE, Experiment
from kitlib.experiments.leaks import SLICE_PARTS
from kitlib.inputs.pixels import PixelInput
from kitlib.inputs.slices import SliceInput
from kitlib.models.pooled.model import PooledModel
from kitlib.prepare.grey import GREY_OPTIONS

FAMILY = published.published_experiments()
TABLE = [
    entry for entry in FAMILY if entry.model.name == "pooled" and entry.about.published and not entry.leaks
]
word2classifier = {
    "SVC": "svc",
    "LGBM": "lightgbm",
    "XGBoost": "xgboost",
    "Ensemble": "bagging",
    "Independent": "networks",
}


def key(entry: Experiment) -> tuple[object, ...]:
    """The columns that identify a row of the original table."""
    model, reads = entry.model, entry.input
    assert isinstance(model, PooledModel)
    assert isinstance(reads, SliceInput)
    classifier = model.classifier + ("_weighted" if model.weighted else "")
    return model.width or 2048, reads.grey, model.pooling, reads.backbone, classifier


def key_of_line(words: str) -> tuple[object, ...]:
    classifier = next(name for word, name in word2classifier.items() if f" {word} " in words)
    return (
        int(re.search(r"1\\\*(\d+)", words)[1]),  # type: ignore[index]
        "equalised" if "Histogram" in words else "greyscale",
        "attention" if "Attention" in words else "average",
        "medicalnet_resnet152" if "MedicalNet" in words else "resnet50",
        classifier + ("_weighted" if "WEIGHTED" in words else ""),
    )


def published_table(seeds_dir: Path) -> dict[tuple[object, ...], list[float]]:
    """The original table's 42 rows without random predictions: accuracy, F1 and AUC as fractions."""
    text = (seeds_dir / "multimodal_embeddings.md").read_text()
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| RF One Hot")]
    assert len(lines) == 44
    rows = [[one.strip() for one in line] for line in lines if "Random Predictions" not in line[0]]
    return {key_of_line(words): [float(one.rstrip("%")) / 100 for one in numbers] for words, *numbers in rows}


def test_a_table_row_has_a_system_of_its_own() -> None:
    assert len(TABLE) == len({key(entry) for entry in TABLE}) == 42


def test_every_row_of_the_published_table_is_an_experiment_with_its_figures(seeds_dir: Path) -> None:
    ours = {key(entry): list(vars(entry.about.published).values()) for entry in TABLE}
    theirs = published_table(seeds_dir)
    assert set(ours) == set(theirs)
    for row, figures in theirs.items():
        assert ours[row] == pytest.approx(figures, abs=1e-9)


def test_the_two_rows_of_random_predictions_are_one_experiment() -> None:
    (random,) = (entry for entry in FAMILY if entry.model.name == "random")
    assert random.about.published == published.RANDOM_RESULT


def test_names_are_unique_and_say_what_differs() -> None:
    names = [entry.name for entry in FAMILY]
    assert len(set(names)) == len(names)
    assert "r50_attention_512_equalised_svc" in names
    systems = [(str(entry.model), entry.input, entry.protocol) for entry in FAMILY]
    assert len(set(systems)) == len(systems)


def test_every_published_system_is_there_and_in_the_demo() -> None:
    counts = Counter(entry.model.name for entry in FAMILY if not entry.leaks)
    assert counts == {"prior": 1, "random": 1, "pooled": 74, "fusion": 8, "pseudo": 8, "vit": 2}
    demo = [entry for entry in FAMILY if published.DEMO_TAG in entry.about.tags]
    assert {entry.name for entry in demo} == published.DEMO
    assert {entry.model.name for entry in demo} == set(counts)
    assert any(entry.leaks for entry in demo)


def test_the_demo_trains_no_backbone_first() -> None:
    demo = [entry for entry in FAMILY if published.DEMO_TAG in entry.about.tags]
    inputs = {entry.input for entry in demo}
    assert all(
        isinstance(reads, PixelInput) or reads.backbone in ("", published.SHIPPED)  # type: ignore[attr-defined]
        for reads in inputs
    )
    shipped = [reads for reads in inputs if getattr(reads, "backbone", "") == published.SHIPPED]
    assert shipped
    assert {reads.weights for reads in shipped} == {"shipped"}  # type: ignore[attr-defined]


def test_nothing_is_done_about_imbalance_only_where_the_name_says_so() -> None:
    unbalanced = [entry for entry in FAMILY if not getattr(entry.model, "balanced", True)]
    stems = ["r50_attention_512_equalised_svc", "r10t_attention_512_greyscale_svc"]
    assert [entry.name for entry in unbalanced] == [f"{stem}_none" for stem in stems]
    for plain, stem in zip(unbalanced, stems):
        balanced = next(entry for entry in FAMILY if entry.name == f"{stem}_balanced")
        assert balanced.with_parameters(balanced=False).model == plain.model
        assert "class-balanced SVC, no sampling" in balanced.about.text
        assert "balanced" not in plain.about.text


def test_a_leaking_twin_is_its_experiment_under_another_split() -> None:
    name2entry = {entry.name: entry for entry in FAMILY}
    twins = [entry for entry in FAMILY if entry.leaks]
    assert Counter(entry.protocol.split for entry in twins) == {"series": 9, "slices": 1, "training": 1}
    for twin in twins:
        honest = name2entry[twin.about.twin_of]
        assert not honest.leaks
        if twin.protocol.split == "slices":  # the same number of steps on more rows
            fewer = honest.model.epochs // SLICE_PARTS  # type: ignore[attr-defined]
            honest = honest.with_parameters(epochs=fewer)
        assert (twin.model, twin.input) == (honest.model, honest.input)
        assert twin.about.published == honest.about.published
        assert "LEAKS" in twin.about.text
    assert not any(entry.about.twin_of for entry in FAMILY if not entry.leaks)


def test_random_weights_are_asked_for_by_name_and_once() -> None:
    weights = {entry.name: getattr(entry.input, "weights", "") for entry in FAMILY}
    (random,) = (name for name, asked in weights.items() if asked == "random")
    assert random.endswith("_random_weights")


def test_weights_that_saw_real_images_are_asked_for_by_name_in_every_pooling_and_grey() -> None:
    for backbone, weights in ((backbones.LITE, "imagenet"), (backbones.CT, "ct")):
        rows = [entry for entry in FAMILY if getattr(entry.input, "backbone", "") == backbone]
        assert {entry.input.weights for entry in rows} == {weights}  # type: ignore[attr-defined]
        assert {
            (entry.model.pooling, entry.input.grey)  # type: ignore[attr-defined]
            for entry in rows
        } == {(pooling, grey) for pooling in ("average", "attention") for grey in GREY_OPTIONS}
        assert not any(entry.leaks or entry.about.published for entry in rows)


def test_no_row_trains_a_backbone() -> None:
    """If weights are missing the row says so: pretraining on a few phantoms would score at chance level."""
    inputs = {entry.input for entry in FAMILY if getattr(entry.input, "backbone", "")}
    assert all(reads.weights for reads in inputs)  # type: ignore[attr-defined]


def test_what_looks_at_no_image_has_no_backbone_trained_for_it() -> None:
    assert {entry.input for entry in FAMILY if entry.model.name in ("prior", "random")} == {PROFILES_CHOICE}


def test_what_is_asked_for_exists() -> None:
    assert {entry.input.grey for entry in FAMILY} <= {"", *GREY_OPTIONS}  # type: ignore[attr-defined]
    assert all(entry.about.text and published.PUBLISHED in entry.about.tags for entry in FAMILY)
