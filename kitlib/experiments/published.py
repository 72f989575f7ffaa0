"""The systems of two published projects as experiments, each with its published result.

The first project's table (embeddings, one classifier per cell) has 44 rows. Two of them are one system here,
because random predictions do not depend on the width of an embedding they never see; `table_rows` generates
the other 42. Also here are the systems that the projects describe without a figure (fusion, the cascade,
imputation of missing sequences), the second project's vision transformer, and controls for reading the
figures: the prior, random weights, other sampling methods, and twins, which repeat an experiment with a
leaking split (see `leaks`).
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from kitlib.experiments.backbones import (
    CT,
    MEDICALNET,
    REAL,
    RESNET,
    SHIPPED,
    backbone2input,
    backbone2short,
    backbone2text,
)
from kitlib.experiments.experiment import About, Experiment, Protocol, PublishedResult
from kitlib.experiments.leaks import SLICE_PARTS, twin
from kitlib.experiments.scenarios import SCENARIOS
from kitlib.inputs.pixels import PixelInput
from kitlib.models.attention import FusionModel
from kitlib.models.blind import PriorModel, RandomModel
from kitlib.models.pooled.model import PooledModel
from kitlib.models.pseudo.model import PseudoModel
from kitlib.models.vit.model import ViTModel

PUBLISHED, DEMO_TAG = "published", "demo"
UNTIL_LEARNED: dict[str, Any] = {
    "inner_parts": 1,  # no inner validation set
    "augment": False, "dropout": 0.0, "weight_decay": 0.0, "learning_rate": 1e-3, "loss": "bce",
    "batch": 8, "slices": 4, "epochs": 40,
}  # fmt: skip
"""How the second project trains its transformer: until the training studies are memorised."""
SVC_SAMPLING, TREE_SAMPLING = "smote_undersample", "smote"
GREYS = ("greyscale", "equalised")

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
"""The table has MedicalNet with attention only."""
PUBLISHED_TABLE = """
512  equalised networks          | 46.60 37.80 60.00 | 27.50 46.40 62.80 | 47.50 33.10 55.40
512  equalised networks_weighted | 40.80 47.50 63.30 | 64.20 36.50 58.90 | 56.00 32.90 56.70
512  greyscale networks          | 50.20 34.40 57.50 | 27.80 46.30 61.90 | 48.90 31.90 55.90
512  greyscale networks_weighted | 27.40 33.80 58.00 | 61.00 45.80 61.50 | 46.90 31.60 57.50
512  equalised svc               | 91.95 61.90 62.95 | 88.30 60.70 57.64 | 89.50 54.75 46.91
512  equalised lightgbm          | 78.03 45.59 67.32 | 81.31 44.24 71.42 | 79.84 43.07 64.13
512  equalised xgboost           | 64.48 39.08 62.60 | 70.52 42.16 64.23 | 62.51 38.06 61.03
512  equalised bagging           | 53.94 34.53 60.29 | 64.96 39.23 63.09 | 50.53 32.11 58.10
512  greyscale svc               | 92.21 53.45 61.25 | 88.70 61.92 62.96 | 88.53 53.17 49.79
512  greyscale lightgbm          | 77.59 45.78 65.84 | 81.41 45.48 69.60 | 79.81 44.40 65.84
512  greyscale xgboost           | 63.75 40.52 62.54 | 70.90 43.70 62.89 | 61.96 38.01 62.86
512  greyscale bagging           | 52.86 34.16 60.97 | 65.20 39.93 64.30 | 49.81 32.57 59.15
2048 equalised svc               | 88.02 60.09 53.37 | 90.94 64.20 63.60 | 88.30 59.71 51.60
2048 greyscale svc               | 88.95 63.10 65.03 | 91.04 62.80 62.71 | 88.60 59.95 53.69
"""
"""Width, grey option and classifier; then accuracy, F1 and AUC-ROC in per cent for each of EMBEDDERS."""
RANDOM_RESULT = PublishedResult(0.0, 0.0, 0.0)
"""The table says "≈ 0 %" for random predictions, which no three-way guess can reach."""
VIT_RESULT = PublishedResult(0.9569)
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
"""A few of each kind, on weights that ship with the kit."""
imputer2text = {
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
    """All published systems with their tags, baselines first, leaking twins last."""
    honest = [*blind(), *all_pooled(), *fusion(RESNET), *fusion(SHIPPED), *pseudo(), *vit()]
    twins = [twin for entry in honest for twin in leaking_twins(entry)]
    return [_tagged(entry) for entry in (*honest, *twins)]


def _tagged(entry: Experiment) -> Experiment:
    tags = (PUBLISHED, DEMO_TAG) if entry.name in DEMO else (PUBLISHED,)
    return replace(entry, about=replace(entry.about, tags=tags))


def blind() -> Iterator[Experiment]:
    """Baselines that see no image: the prior, and random predictions."""
    yield Experiment("prior_alone", PriorModel(), about=About("Weighted frequencies, no image"))
    yield Experiment("random", RandomModel(), about=About("Random predictions", published=RANDOM_RESULT))


def all_pooled() -> Iterator[Experiment]:
    """The first project's table, other sampling methods and random weights; then other backbones."""
    yield from table_rows()
    yield from other_samplings(RESNET, "equalised")
    base = pooled(RESNET, "attention", 512, "equalised", "svc")
    yield replace(
        base,
        name=f"{base.name}_random_weights",
        input=replace(backbone2input[RESNET], grey="equalised", weights="random"),
        about=About(f"{base.about.text}; the backbone's weights are random"),
    )
    # The same ideas with a well-trained backbone: on the kit's own embeddings.
    yield pooled(SHIPPED, "average", 512, "greyscale", "svc")
    for classifier in ("networks", "networks_weighted", "svc", "lightgbm", "xgboost", "bagging"):
        yield pooled(SHIPPED, "attention", 512, "greyscale", classifier)
    yield from other_samplings(SHIPPED, "greyscale")
    # And with backbones trained on real images.
    for backbone, pooling, grey in product(REAL, pooling2text, GREYS):
        yield pooled(backbone, pooling, 512, grey, "svc")
    yield from (pooled(CT, "attention", 2048, grey, "svc") for grey in GREYS)


def table_rows() -> Iterator[Experiment]:
    """The first project's table without its random predictions: 42 rows, in the published order."""
    for line in PUBLISHED_TABLE.strip().splitlines():
        system, *figures = line.split("|")
        width, grey, classifier = system.split()
        for (backbone, pooling), per_cent in zip(EMBEDDERS, figures, strict=True):
            entry = pooled(backbone, pooling, int(width), grey, classifier)
            result = PublishedResult(*(round(float(figure) / 100, 6) for figure in per_cent.split()))
            yield replace(entry, about=replace(entry.about, published=result))


def pooled(
    backbone: str, pooling: str, width: int, grey: str, classifier: str, sampling: str = ""
) -> Experiment:
    """One row of the table; `classifier` may end in `_weighted`, `sampling` defaults to the table's."""
    kind, _, weighted = classifier.partition("_")
    usual = {"networks": "none", "svc": SVC_SAMPLING}.get(kind, TREE_SAMPLING)
    model = PooledModel(
        pooling=pooling,
        width=0 if width == 2048 else width,  # 0: the backbone's own width
        classifier=kind,
        sampling=sampling or usual,
        weighted=bool(weighted),
    )
    name = "_".join([backbone2short[backbone], pooling, str(width), grey, classifier, sampling]).rstrip("_")
    text = (
        f"{backbone2text[backbone]}, {pooling2text[pooling]}, {width} wide, {grey} slices; "
        f"{classifier2text[kind]}, {'weighted loss, ' if weighted else ''}{sampling2text[model.sampling]}"
    )
    return Experiment(name, model, replace(backbone2input[backbone], grey=grey), about=About(text))


def other_samplings(backbone: str, grey: str) -> Iterator[Experiment]:
    """The sampling methods that the first project describes but does not tabulate, on one embedding.

    `svc_none` does nothing about imbalance; `svc_balanced` and all other SVCs have class weights.
    """
    entry = pooled(backbone, "attention", 512, grey, "svc", "none")
    yield replace(entry, name=entry.name.replace("_none", "_balanced"))
    text = entry.about.text.replace("class-balanced SVC", "SVC")
    yield replace(entry.with_parameters(balanced=False), about=About(text))
    for sampling in ("undersample", "smote", "svm_smote"):
        yield pooled(backbone, "attention", 512, grey, "svc", sampling)
    for sampling in ("none", "svm_smote"):
        yield pooled(backbone, "attention", 512, grey, "lightgbm", sampling)


def fusion(backbone: str) -> Iterator[Experiment]:
    """The three fusion architectures, and the cascade on 1.2; names have no prefix on ResNet50."""
    prefix, grey = ("", "equalised") if backbone == RESNET else (f"{backbone2short[backbone]}_", "greyscale")
    for architecture, head, text in (
        ("1.1", "softmax", "attention for each sequence, a CNN fuses their means, one network"),
        ("1.2", "softmax", "attention pooling, a CNN fuses, several networks joined at the output"),
        ("2", "softmax", "a network for each sequence, joined at the output"),
        ("1.2", "cascade", "the same as 1.2, first degenerated or not, then how severe"),
    ):
        yield Experiment(
            f"{prefix}fusion_{architecture if head == 'softmax' else head}",
            FusionModel(architecture=architecture, head=head),
            replace(backbone2input[backbone], grey=grey),
            about=About(f"Fusion {architecture}: {text}; on {backbone2text[backbone]}"),
        )


def pseudo() -> Iterator[Experiment]:
    """Pseudo-modality: a missing sequence's embedding is imputed from those present.

    On the kit's own embeddings: if slice averages carry little information, imputers cannot be distinguished.
    """
    reads, protocol = replace(backbone2input[SHIPPED], grey="greyscale"), Protocol(missing=SCENARIOS)
    for imputer, text in imputer2text.items():
        about = About(f"Missing sequences imputed by {text}")
        yield Experiment(f"pseudo_{imputer}", PseudoModel(imputer=imputer), reads, protocol, about)


def vit() -> Iterator[Experiment]:
    """The second project's transformer on slice patches, with this kit's training and with the project's.

    The project runs all epochs on all its studies; `vit` stops early on an inner validation set.
    """
    about = About("Vision transformer on patches of the slices, end to end", published=VIT_RESULT)
    usual = Experiment("vit", ViTModel(start="shipped"), PixelInput(grey="greyscale"), about=about)
    yield usual
    text = f"{about.text}; every epoch run, nothing held out, no augmentation"
    to_the_end = usual.with_parameters(**UNTIL_LEARNED)
    yield replace(to_the_end, name="vit_to_the_end", about=replace(about, text=text))


def leaking_twins(entry: Experiment) -> Iterator[Experiment]:
    """Twins evaluated as published: the attention and SVC rows, and the transformer."""
    model = entry.model
    if (
        isinstance(model, PooledModel)
        and (model.pooling, model.classifier, model.sampling) == ("attention", "svc", SVC_SAMPLING)
        and (entry.about.published or entry.input.backbone == SHIPPED)  # type: ignore[attr-defined]
    ):
        yield twin(entry, "series")
    if isinstance(model, ViTModel) and entry.name == "vit_to_the_end":
        # Fewer epochs for the same number of steps: there are SLICE_PARTS times as many rows.
        yield twin(entry.with_parameters(epochs=model.epochs // SLICE_PARTS), "slices")
        yield twin(entry, "training")
