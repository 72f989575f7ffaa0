"""The systems of two published projects as experiments, each beside what was published for it.

The first project's table (embeddings, one classifier a cell) has 44 rows. Two of them are one system here,
because random predictions do not depend on the width of an embedding that they never see; the other 42 are a
product, written out by `table_rows`. Around the table stand what the projects describe without a figure
(fusion, the cascade, imputation of missing sequences), the second project's vision transformer, and what
makes the figures readable: the prior, random weights, other samplings, and twins that are the same experiment
judged by a split that leaks (see `leaks`).
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from kitlib.experiments.experiment import (
    PROFILES_CHOICE,
    About,
    Experiment,
    Protocol,
    PublishedResult,
    SplitName,
)
from kitlib.experiments.leaks import SLICE_PARTS, split2text
from kitlib.experiments.published_results import PUBLISHED_RESULTS, RANDOM_RESULT, VIT_RESULT
from kitlib.experiments.scenarios import SCENARIOS
from kitlib.inputs.base import InputSpec
from kitlib.inputs.pixels import PixelInput
from kitlib.inputs.slices import SliceInput
from kitlib.models.attention import FusionModel
from kitlib.models.base import Model
from kitlib.models.blind import PriorModel, RandomModel
from kitlib.models.pooled.model import PooledModel
from kitlib.models.pseudo.model import PseudoModel
from kitlib.models.vit.model import ViTModel

PUBLISHED, DEMO_TAG = "published", "demo"
WHOLE_STUDIES = Protocol()
RESNET, MEDICALNET, SHIPPED = "resnet50", "medicalnet_resnet152", "resnet10t"
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
"""How the second project trains its transformer: until its training studies are known by heart."""
SVC_SAMPLING, TREE_SAMPLING = "smote_undersample", "smote"

backbone2short = {RESNET: "r50", MEDICALNET: "m152", SHIPPED: "r10t"}
backbone2text = {
    RESNET: "ResNet50",
    MEDICALNET: "MedicalNet ResNet152",
    SHIPPED: "the kit's ResNet10-T as it was trained",
}
backbone2input = {
    RESNET: SliceInput(backbone=RESNET, input_px=224, field_of_view="whole"),
    MEDICALNET: SliceInput(backbone=MEDICALNET, input_px=224, field_of_view="whole"),
    SHIPPED: SliceInput(backbone=SHIPPED, weights="shipped"),
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
    """All of them, baselines first, leaking twins last."""
    honest = [*blind(), *all_pooled(), *fusion(RESNET), *fusion(SHIPPED), *pseudo(), *vit()]
    return [*honest, *(twin for entry in honest for twin in leaking_twins(entry))]


def named(
    name: str,
    model: Model,
    text: str,
    *,
    input: InputSpec = PROFILES_CHOICE,
    protocol: Protocol = WHOLE_STUDIES,
    published: PublishedResult | None = None,
    twin_of: str = "",
) -> Experiment:
    """An experiment with the tags that it has here."""
    tags = (PUBLISHED, DEMO_TAG) if name in DEMO else (PUBLISHED,)
    return Experiment(name, model, input, protocol, About(text, tags, published, twin_of))


def blind() -> Iterator[Experiment]:
    """What looks at no image, and what looks at nothing at all."""
    yield named("prior_alone", PriorModel(), "Weighted frequencies, no image")
    yield named("random", RandomModel(), "Random predictions", published=RANDOM_RESULT)


def all_pooled() -> Iterator[Experiment]:
    """The first project's table, then other samplings, random weights, and the same on the kit's backbone."""
    yield from table_rows()
    yield from other_samplings(RESNET, "equalised")
    base = pooled(RESNET, "attention", 512, "equalised", "svc")
    yield named(
        f"{base.name}_random_weights",
        base.model,
        f"{base.about.text}; the backbone's weights are random",
        input=dataclasses.replace(backbone2input[RESNET], grey="equalised", weights="random"),
    )
    yield from shipped_rows()
    yield from other_samplings(SHIPPED, "greyscale")


def table_rows() -> Iterator[Experiment]:
    """The first project's table without its random predictions: 42 rows, in its own order."""
    for (width, grey, classifier), figures in PUBLISHED_RESULTS.items():
        for (backbone, pooling), per_cent in zip(EMBEDDERS, figures, strict=True):
            entry = pooled(backbone, pooling, width, grey, classifier)
            result = PublishedResult(*(round(figure / 100, 6) for figure in per_cent))
            yield dataclasses.replace(entry, about=dataclasses.replace(entry.about, published=result))


def pooled(
    backbone: str, pooling: str, width: int, grey: str, classifier: str, sampling: str = ""
) -> Experiment:
    """One row of the table; `classifier` may end in `_weighted`, `sampling` is the table's unless given."""
    kind, _, weighted = classifier.partition("_")
    usual = {"networks": "none", "svc": SVC_SAMPLING}.get(kind, TREE_SAMPLING)
    model = PooledModel(
        pooling=pooling,
        width=0 if width == 2048 else width,  # 0: as wide as the backbone's own
        classifier=kind,
        sampling=sampling or usual,
        weighted=bool(weighted),
    )
    return named(
        "_".join([backbone2short[backbone], pooling, str(width), grey, classifier, sampling]).rstrip("_"),
        model,
        f"{backbone2text[backbone]}, {pooling2text[pooling]}, {width} wide, {grey} slices; "
        f"{classifier2text[kind]}, {'weighted loss, ' if weighted else ''}{sampling2text[model.sampling]}",
        input=dataclasses.replace(backbone2input[backbone], grey=grey),
    )


def other_samplings(backbone: str, grey: str) -> Iterator[Experiment]:
    """The samplings that the first project describes and does not list, on one embedding.

    Nothing at all is done about imbalance in `svc_none`; in `svc_balanced` and all others an SVC is balanced.
    """
    entry = pooled(backbone, "attention", 512, grey, "svc", "none")
    stem = f"{backbone2short[backbone]}_attention_512_{grey}_svc"
    yield named(f"{stem}_balanced", entry.model, entry.about.text, input=entry.input)
    plain = entry.with_parameters(balanced=False).model
    text = entry.about.text.replace("class-balanced SVC", "SVC")
    yield named(f"{stem}_none", plain, text, input=entry.input)
    for sampling in ("undersample", "smote", "svm_smote"):
        yield pooled(backbone, "attention", 512, grey, "svc", sampling)
    for sampling in ("none", "svm_smote"):
        yield pooled(backbone, "attention", 512, grey, "lightgbm", sampling)


def shipped_rows() -> Iterator[Experiment]:
    """The table's systems on the kit's own embeddings: the same ideas where the backbone is trained well."""
    yield pooled(SHIPPED, "average", 512, "greyscale", "svc")
    for classifier in ("networks", "networks_weighted", "svc", "lightgbm", "xgboost", "bagging"):
        yield pooled(SHIPPED, "attention", 512, "greyscale", classifier)


def fusion(backbone: str) -> Iterator[Experiment]:
    """The three architectures, and the cascade on the second; on ResNet50 under their plain names."""
    prefix = "" if backbone == RESNET else f"{backbone2short[backbone]}_"
    grey = "equalised" if backbone == RESNET else "greyscale"
    for architecture, head, text in (
        ("1.1", "softmax", "attention for each sequence, a CNN fuses their means, one network"),
        ("1.2", "softmax", "attention pooling, a CNN fuses, several networks joined at the output"),
        ("2", "softmax", "a network for each sequence, joined at the output"),
        ("1.2", "cascade", "the same as 1.2, first degenerated or not, then how severe"),
    ):
        yield named(
            f"{prefix}fusion_{architecture if head == 'softmax' else head}",
            FusionModel(architecture=architecture, head=head),
            f"Fusion {architecture}: {text}; on {backbone2text[backbone]}",
            input=dataclasses.replace(backbone2input[backbone], grey=grey),
        )


def pseudo() -> Iterator[Experiment]:
    """Pseudo-modality: a missing sequence's embedding is imputed from those present.

    On the kit's own embeddings: where averages of slices say little, no imputer can be told from another.
    """
    for imputer, text in imputer2text.items():
        yield named(
            f"pseudo_{imputer}",
            PseudoModel(imputer=imputer),
            f"Missing sequences imputed by {text}",
            input=dataclasses.replace(backbone2input[SHIPPED], grey="greyscale"),
            protocol=Protocol(missing=SCENARIOS),
        )


def vit() -> Iterator[Experiment]:
    """The second project's transformer on patches of the slices, and the same trained as it was there.

    The project runs all epochs on all its studies; the usual one here is stopped by studies held out inside.
    """
    text, pixels = "Vision transformer on patches of the slices, end to end", PixelInput(grey="greyscale")
    usual = ViTModel(start="shipped")
    yield named("vit", usual, text, input=pixels, published=VIT_RESULT)
    yield named(
        "vit_to_the_end",
        dataclasses.replace(usual, **UNTIL_LEARNED),
        f"{text}; every epoch run, nothing held out, no augmentation",
        input=pixels,
        published=VIT_RESULT,
    )


def leaking_twins(entry: Experiment) -> Iterator[Experiment]:
    """The same experiment judged as it was published: rows with attention and SVC, and the transformer."""
    model = entry.model
    if (
        isinstance(model, PooledModel)
        and (model.pooling, model.classifier, model.sampling) == ("attention", "svc", SVC_SAMPLING)
        and not entry.name.endswith("random_weights")
    ):
        yield twin(entry, "series")
    if isinstance(model, ViTModel) and entry.name == "vit_to_the_end":
        # As many steps: the rows are so many times as many.
        yield twin(entry.with_parameters(epochs=model.epochs // SLICE_PARTS), "slices")
        yield twin(entry, "training")


def twin(entry: Experiment, split: SplitName) -> Experiment:
    """The experiment under a split that leaks."""
    return named(
        f"{entry.name}_leaking_{split}",
        entry.model,
        f"{entry.about.text}; LEAKS: {split2text[split]}",
        input=entry.input,
        protocol=dataclasses.replace(entry.protocol, split=split),
        published=entry.about.published,
        twin_of=entry.name,
    )
