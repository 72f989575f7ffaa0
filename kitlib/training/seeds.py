"""The systems of the two seeds as experiments, each beside what its seed published for it.

The first seed's table has 44 rows. Two of them are one system here, because random predictions do not depend
on the width of an embedding that they never see; the other 42 are a product, written out by `table_rows`.
Around the table stand what the seeds describe without a figure (fusion, the cascade, filling of missing
sequences) and what makes the figures readable: the prior, random weights, other samplings, and twins that are
the same experiment judged by a split that leaks (see `splits`).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from kitlib.training.experiment import Claim, Experiment, Split
from kitlib.training.missing import REMOVALS
from kitlib.training.splits import SLICE_PARTS, split2text

FAMILY = "seeds"
RESNET, MEDICALNET, SHIPPED = "resnet50", "medicalnet_resnet152", "resnet10t"
INPUT_PX = 224
ON_RESNET: dict[str, Any] = {"grey": "equalised", "backbone": RESNET, "input_px": INPUT_PX}
"""The embeddings of systems of which the seeds say no more."""
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
backbone2px = {RESNET: INPUT_PX, MEDICALNET: INPUT_PX, SHIPPED: 0}
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

CLAIMS: Mapping[tuple[int, str, str], tuple[tuple[float, float, float], ...]] = {
    # (width, grey, classifier): accuracy, F1 and AUC-ROC in per cent, for the three EMBEDDERS
    (512, "equalised", "networks"): ((46.60, 37.80, 60.00), (27.50, 46.40, 62.80), (47.50, 33.10, 55.40)),
    (512, "equalised", "networks_weighted"): (
        (40.80, 47.50, 63.30),
        (64.20, 36.50, 58.90),
        (56.00, 32.90, 56.70),
    ),
    (512, "greyscale", "networks"): ((50.20, 34.40, 57.50), (27.80, 46.30, 61.90), (48.90, 31.90, 55.90)),
    (512, "greyscale", "networks_weighted"): (
        (27.40, 33.80, 58.00),
        (61.00, 45.80, 61.50),
        (46.90, 31.60, 57.50),
    ),
    (512, "equalised", "svc"): ((91.95, 61.90, 62.95), (88.30, 60.70, 57.64), (89.50, 54.75, 46.91)),
    (512, "equalised", "lightgbm"): ((78.03, 45.59, 67.32), (81.31, 44.24, 71.42), (79.84, 43.07, 64.13)),
    (512, "equalised", "xgboost"): ((64.48, 39.08, 62.60), (70.52, 42.16, 64.23), (62.51, 38.06, 61.03)),
    (512, "equalised", "bagging"): ((53.94, 34.53, 60.29), (64.96, 39.23, 63.09), (50.53, 32.11, 58.10)),
    (512, "greyscale", "svc"): ((92.21, 53.45, 61.25), (88.70, 61.92, 62.96), (88.53, 53.17, 49.79)),
    (512, "greyscale", "lightgbm"): ((77.59, 45.78, 65.84), (81.41, 45.48, 69.60), (79.81, 44.40, 65.84)),
    (512, "greyscale", "xgboost"): ((63.75, 40.52, 62.54), (70.90, 43.70, 62.89), (61.96, 38.01, 62.86)),
    (512, "greyscale", "bagging"): ((52.86, 34.16, 60.97), (65.20, 39.93, 64.30), (49.81, 32.57, 59.15)),
    (2048, "equalised", "svc"): ((88.02, 60.09, 53.37), (90.94, 64.20, 63.60), (88.30, 59.71, 51.60)),
    (2048, "greyscale", "svc"): ((88.95, 63.10, 65.03), (91.04, 62.80, 62.71), (88.60, 59.95, 53.69)),
}
RANDOM_CLAIM = Claim(0.0, 0.0, 0.0)
"""The table says "≈ 0 %" for random predictions, which no three-way guess can reach."""
VIT_CLAIM = Claim(0.9569)

DEMO_TABLE = {
    "r50_average_512_equalised_svc",
    "r50_attention_512_equalised_networks_weighted",
    "r50_attention_512_equalised_svc",
    "r50_attention_512_equalised_lightgbm",
}
DEMO_SPLITS = ("series",)
DEMO_FILLERS = ("mean", "masked")
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


def seed_experiments() -> list[Experiment]:
    """All experiments of the family, marks first, leaking twins last."""
    honest = [*prior(), *random(), *all_pooled(), *fusion(), *pseudo(), *vit()]
    return [*honest, *(twin for entry in honest for twin in leaking_twins(entry))]


def prior() -> Iterator[Experiment]:
    """What looks at no image."""
    yield Experiment(
        "prior_alone",
        FAMILY,
        "prior",
        description="Weighted frequencies, no image",
        demo=True,
    )


def random() -> Iterator[Experiment]:
    """What looks at nothing at all."""
    yield Experiment(
        "random",
        FAMILY,
        "random",
        description="Random predictions",
        claimed=RANDOM_CLAIM,
        demo=True,
    )


def all_pooled() -> Iterator[Experiment]:
    """The first seed's table, then what it leaves out: other samplings, and random weights."""
    yield from table_rows()
    yield from other_samplings()
    yield from shipped_rows()
    base = pooled(RESNET, "attention", 512, "equalised", "svc")
    yield dataclasses.replace(
        base,
        name=f"{base.name}_random_weights",
        weights="random",
        description=f"{base.description}; the backbone's weights are random",
    )


def table_rows() -> Iterator[Experiment]:
    """The first seed's table without its random predictions: 42 rows, in the order of CLAIMS."""
    for (width, grey, classifier), figures in CLAIMS.items():
        for (backbone, pooling), per_cent in zip(EMBEDDERS, figures, strict=True):
            entry = pooled(backbone, pooling, width, grey, classifier)
            claim = Claim(*(round(one / 100, 6) for one in per_cent))
            yield dataclasses.replace(entry, claimed=claim, demo=entry.name in DEMO_TABLE)


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
        backbone=backbone,
        input_px=backbone2px[backbone],
        description=f"{backbone2text[backbone]}, {pooling2text[pooling]}, {width} wide, {grey} slices; "
        f"{classifier2text[kind]}, {'weighted loss, ' if weighted else ''}"
        f"{sampling2text[parameters['sampling']]}",
    )


def other_samplings() -> Iterator[Experiment]:
    """The samplings that the seed describes and does not list, on one of its embeddings.

    Nothing at all is done about imbalance in `svc_none`; in `svc_balanced` and all others an SVC is balanced.
    """
    for classifier, sampling in (
        *(("svc", one) for one in ("none", "undersample", "smote", "svm_smote")),
        *(("lightgbm", one) for one in ("none", "svm_smote")),
    ):
        entry = pooled(RESNET, "attention", 512, "equalised", classifier, sampling)
        if (classifier, sampling) != ("svc", "none"):
            yield dataclasses.replace(entry, demo=(classifier, sampling) == ("svc", "svm_smote"))
            continue
        yield dataclasses.replace(entry, name=entry.name.replace("_none", "_balanced"))
        plain = entry.description.replace("class-balanced SVC", "SVC")
        yield dataclasses.replace(entry.with_parameters(balanced=False), description=plain)


def shipped_rows() -> Iterator[Experiment]:
    """Three systems on the kit's own embeddings: the same ideas where the backbone has been trained well."""
    for classifier in ("networks_weighted", "svc", "lightgbm"):
        entry = pooled(SHIPPED, "attention", 512, "greyscale", classifier)
        yield dataclasses.replace(entry, weights="shipped", demo=classifier == "svc")


def fusion() -> Iterator[Experiment]:
    """The three architectures, and the cascade on the second."""
    for architecture, head, text in (
        ("1.1", "softmax", "attention for each sequence, a CNN fuses their means, one network"),
        ("1.2", "softmax", "attention pooling, a CNN fuses, several networks joined at the output"),
        ("2", "softmax", "a network for each sequence, joined at the output"),
        ("1.2", "cascade", "the same as 1.2, first degenerated or not, then how severe"),
    ):
        yield Experiment(
            f"fusion_{architecture}" if head == "softmax" else "fusion_cascade",
            FAMILY,
            "fusion",
            {"architecture": architecture, "head": head},
            **ON_RESNET,
            description=f"Fusion {architecture}: {text}",
            demo=(architecture, head) == ("1.2", "softmax"),
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
            backbone=SHIPPED,
            weights="shipped",
            description=f"Missing sequences filled by {text}",
            demo=filler in DEMO_FILLERS,
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
        claimed=VIT_CLAIM,
        demo=True,
    )
    yield usual
    yield dataclasses.replace(
        usual.with_parameters(**UNTIL_LEARNED),
        name="vit_to_the_end",
        description=f"{text}; every epoch run, nothing held out, no augmentation",
        demo=False,
    )


def leaking_twins(entry: Experiment) -> Iterator[Experiment]:
    """The same experiment judged as its seed judged it: the rows with attention and SVC, and the ViT."""
    kind = (entry.parameters.get("pooling"), entry.parameters.get("classifier"))
    if kind == ("attention", "svc") and entry.claimed is not None:
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
        demo=entry.demo and split in DEMO_SPLITS,
    )
