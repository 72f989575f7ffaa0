"""The systems of the two seeds as experiments, each beside what its seed published for it.

The first seed's table has 44 rows. Two of them are one system here, because random predictions do not depend
on the width of an embedding that they never see; the other 42 are a product, written out by `table_rows`.
Around the table stand what the seeds describe without a figure (fusion, the cascade, filling of missing
sequences) and what makes the figures readable: the prior, random weights, other samplings, and twins that are
the same experiment judged by a split that leaks (see `splits`).
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from kitlib.experiments.experiment import Experiment, PublishedResult, Split
from kitlib.experiments.leaks import SLICE_PARTS, split2text
from kitlib.experiments.published_results import PUBLISHED_RESULTS, RANDOM_RESULT, VIT_RESULT
from kitlib.experiments.scenarios import REMOVALS

FAMILY = "seeds"
RESNET, MEDICALNET, SHIPPED = "resnet50", "medicalnet_resnet152", "resnet10t"
INPUT_PX = 224
PIXELS = "pixels_128"
UNTIL_LEARNED: dict[str, Any] = {
    "inner_parts": 1,  # nothing is held out inside
    "augment": False,
    "dropout": 0.0,
    "weight_decay": 0.0,
    "learning_rate": 1e-3,
    "loss": "bce",
    "batch": 8,
    "slices": 4,
    "epochs": 40,
}
"""How the second seed trains its transformer: until its training studies are known by heart."""
SVC_SAMPLING, TREE_SAMPLING = "smote_undersample", "smote"

backbone2short = {RESNET: "r50", MEDICALNET: "m152", SHIPPED: "r10t"}
backbone2text = {
    RESNET: "ResNet50",
    MEDICALNET: "MedicalNet ResNet152",
    SHIPPED: "the kit's ResNet10-T as it was trained",
}
backbone2seen: dict[str, dict[str, Any]] = {
    RESNET: {"backbone": RESNET, "input_px": INPUT_PX},
    MEDICALNET: {"backbone": MEDICALNET, "input_px": INPUT_PX},
    SHIPPED: {"backbone": SHIPPED, "weights": "shipped"},
}
pooling2text = {"average": "mean of the slices", "attention": "trained attention over slices"}
classifier2text = {
    "networks": "a network for each cell",
    "svc": "class-balanced SVC",
    "lightgbm": "LightGBM",
    "xgboost": "XGBoost",
    "bagging": "bagged XGBoost",
}
sampling2text = {
    "none": "no sampling",
    "smote": "SMOTE",
    "svm_smote": "SVM-SMOTE",
    "undersample": "under-sampling to 33 %",
    "smote_undersample": "SMOTE and under-sampling to 33 %",
}

EMBEDDERS = ((RESNET, "average"), (RESNET, "attention"), (MEDICALNET, "attention"))
"""MedicalNet stands in the table with attention only."""
DEMO = {
    "prior_alone",
    "random",
    "r10t_average_512_greyscale_svc",
    "r10t_attention_512_greyscale_networks_weighted",
    "r10t_attention_512_greyscale_svc",
    "r10t_attention_512_greyscale_svc_svm_smote",
    "r10t_attention_512_greyscale_svc_leaking_series",
    "r10t_attention_512_greyscale_lightgbm",
    "r10t_fusion_1.2",
    "pseudo_mean",
    "pseudo_masked",
    "vit",
}
"""A few of each kind, on weights that come with the kit: others take minutes to train, to about chance."""
filler2text = {
    "zeros": "zeros and a mask",
    "mean": "the mean",
    "knn": "the nearest neighbours",
    "iterative": "iterative imputation",
    "dae": "a denoising autoencoder",
    "vae": "a variational autoencoder",
    "attention_vae": "attention fusion before a variational autoencoder",
    "masked": "masked attention fusion with learned tokens",
}


def published_experiments() -> list[Experiment]:
    """All experiments of the family, baselines first, leaking twins last."""
    honest = [*prior(), *random(), *all_pooled(), *fusion(RESNET), *fusion(SHIPPED), *pseudo(), *vit()]
    family = [*honest, *(twin for entry in honest for twin in leaking_twins(entry))]
    return [dataclasses.replace(entry, demo=entry.name in DEMO) for entry in family]


def prior() -> Iterator[Experiment]:
    """What looks at no image."""
    yield Experiment("prior_alone", FAMILY, "prior", description="Weighted frequencies, no image")


def random() -> Iterator[Experiment]:
    """What looks at nothing at all."""
    yield Experiment("random", FAMILY, "random", description="Random predictions", published=RANDOM_RESULT)


def all_pooled() -> Iterator[Experiment]:
    """The first seed's table, then other samplings, random weights, and the same on the kit's backbone."""
    yield from table_rows()
    yield from other_samplings(RESNET, "equalised")
    base = pooled(RESNET, "attention", 512, "equalised", "svc")
    yield dataclasses.replace(
        base,
        name=f"{base.name}_random_weights",
        weights="random",
        description=f"{base.description}; the backbone's weights are random",
    )
    yield from shipped_rows()
    yield from other_samplings(SHIPPED, "greyscale")


def table_rows() -> Iterator[Experiment]:
    """The first seed's table without its random predictions: 42 rows, in the order of PUBLISHED_RESULTS."""
    for (width, grey, classifier), figures in PUBLISHED_RESULTS.items():
        for (backbone, pooling), per_cent in zip(EMBEDDERS, figures, strict=True):
            entry = pooled(backbone, pooling, width, grey, classifier)
            claim = PublishedResult(*(round(one / 100, 6) for one in per_cent))
            yield dataclasses.replace(entry, published=claim)


def pooled(
    backbone: str, pooling: str, width: int, grey: str, classifier: str, sampling: str = ""
) -> Experiment:
    """One row of the table; `classifier` may end in `_weighted`, `sampling` is the table's unless given."""
    kind, _, weighted = classifier.partition("_")
    usual = {"networks": "none", "svc": SVC_SAMPLING}.get(kind, TREE_SAMPLING)
    parameters: dict[str, Any] = {
        "pooling": pooling,
        "width": 0 if width == 2048 else width,  # 0: as wide as the backbone's own
        "classifier": kind,
        "sampling": sampling or usual,
        "weighted": bool(weighted),
    }
    return Experiment(
        "_".join([backbone2short[backbone], pooling, str(width), grey, classifier, sampling]).rstrip("_"),
        FAMILY,
        "pooled",
        parameters,
        grey=grey,
        **backbone2seen[backbone],
        description=f"{backbone2text[backbone]}, {pooling2text[pooling]}, {width} wide, {grey} slices; "
        f"{classifier2text[kind]}, {'weighted loss, ' if weighted else ''}"
        f"{sampling2text[parameters['sampling']]}",
    )


def other_samplings(backbone: str, grey: str) -> Iterator[Experiment]:
    """The samplings that the seed describes and does not list, on one embedding.

    Nothing at all is done about imbalance in `svc_none`; in `svc_balanced` and all others an SVC is balanced.
    """
    for classifier, sampling in (
        *(("svc", one) for one in ("none", "undersample", "smote", "svm_smote")),
        *(("lightgbm", one) for one in ("none", "svm_smote")),
    ):
        entry = pooled(backbone, "attention", 512, grey, classifier, sampling)
        if (classifier, sampling) != ("svc", "none"):
            yield entry
            continue
        yield dataclasses.replace(entry, name=entry.name.replace("_none", "_balanced"))
        plain = entry.description.replace("class-balanced SVC", "SVC")
        yield dataclasses.replace(entry.with_parameters(balanced=False), description=plain)


def shipped_rows() -> Iterator[Experiment]:
    """The table's systems on the kit's own embeddings: the same ideas where the backbone is trained well."""
    yield pooled(SHIPPED, "average", 512, "greyscale", "svc")
    for classifier in ("networks", "networks_weighted", "svc", "lightgbm", "xgboost", "bagging"):
        yield pooled(SHIPPED, "attention", 512, "greyscale", classifier)


def fusion(backbone: str) -> Iterator[Experiment]:
    """The three architectures, and the cascade on the second; on ResNet50 under their plain names."""
    prefix = "" if backbone == RESNET else f"{backbone2short[backbone]}_"
    for architecture, head, text in (
        ("1.1", "softmax", "attention for each sequence, a CNN fuses their means, one network"),
        ("1.2", "softmax", "attention pooling, a CNN fuses, several networks joined at the output"),
        ("2", "softmax", "a network for each sequence, joined at the output"),
        ("1.2", "cascade", "the same as 1.2, first degenerated or not, then how severe"),
    ):
        yield Experiment(
            f"{prefix}fusion_{architecture if head == 'softmax' else head}",
            FAMILY,
            "fusion",
            {"architecture": architecture, "head": head},
            grey="equalised" if backbone == RESNET else "greyscale",
            **backbone2seen[backbone],
            description=f"Fusion {architecture}: {text}; on {backbone2text[backbone]}",
        )


def pseudo() -> Iterator[Experiment]:
    """Pseudo-modality: a missing sequence's embedding is filled from those present.

    On the kit's own embeddings: where averages of slices say little, no filler can be told from another.
    """
    for filler, text in filler2text.items():
        yield Experiment(
            f"pseudo_{filler}",
            FAMILY,
            "pseudo",
            {"filler": filler},
            grey="greyscale",
            **backbone2seen[SHIPPED],
            description=f"Missing sequences filled by {text}",
            removals=REMOVALS,
        )


def vit() -> Iterator[Experiment]:
    """The second seed's transformer on patches of the slices, and the same trained as the seed did.

    The seed runs all its epochs on all its studies; here the usual one is stopped by studies held out inside.
    """
    text = "Vision transformer on patches of the slices, end to end"
    usual = Experiment(
        "vit",
        FAMILY,
        "vit",
        {"start": "shipped"},
        grey="greyscale",
        backbone=PIXELS,
        description=text,
        published=VIT_RESULT,
    )
    yield usual
    yield dataclasses.replace(
        usual.with_parameters(**UNTIL_LEARNED),
        name="vit_to_the_end",
        description=f"{text}; every epoch run, nothing held out, no augmentation",
    )


def leaking_twins(entry: Experiment) -> Iterator[Experiment]:
    """The same experiment judged as its seed judged it: the rows with attention and SVC, and the ViT."""
    kind = tuple(entry.parameters.get(name) for name in ("pooling", "classifier", "sampling"))
    if kind == ("attention", "svc", SVC_SAMPLING) and entry.weights != "random":
        yield _twin(entry, "series")
    if entry.name == "vit_to_the_end":
        # As many steps: the rows are so many times as many.
        fewer = entry.with_parameters(epochs=entry.parameters["epochs"] // SLICE_PARTS)
        yield _twin(fewer, "slices")
        yield _twin(entry, "training")


def _twin(entry: Experiment, split: Split) -> Experiment:
    return dataclasses.replace(
        entry,
        name=f"{entry.name}_leaking_{split}",
        split=split,
        description=f"{entry.description}; LEAKS: {split2text[split]}",
    )
