"""Rounding a backbone to eight bits, by NNCF: about twice as fast on CPUs, and nearly the same vectors."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from joblib import delayed
from tqdm.auto import tqdm

from kitlib.artefacts import Provenance, save_tensors
from kitlib.embed.backbone import load_backbone, weighted_network
from kitlib.embed.runtime.inference import OpenVINOInference, converted, silent_openvino
from kitlib.embed.runtime.int8 import holds_eight_bits, serialised
from kitlib.embed.slices import Backbone
from kitlib.errors import ExtraMissingError, UsageError, WeightsError
from kitlib.machine import cores, in_processes
from kitlib.phantom.archive import STUDY_IDS
from kitlib.phantom.study import draw_study
from kitlib.prepare.grey import GREY_OPTIONS
from kitlib.prepare.volumes import prepare

SEED = 2025  # not that of `weights train`: on phantoms that a network has learned it may be tamer
SCALED_ON, JUDGED_ON = range(5), range(5, 8)
"""Phantoms, of about fifty slices each, that give the scales, and those that tell how well they do."""
MOST_INPUTS = 300
LONGEST_PX = 320
LEAST_R2 = 0.9
"""Below, the vectors are those of another network."""


def quantise(
    out: Path,
    name: str,
    *,
    weights: str = "auto",
    input_px: int | None = None,
    field_of_view: str | None = None,
    size: str = "demo",
) -> dict[str, float]:
    """Save a backbone, found as `load_backbone` finds it, in eight bits for inputs of one size.

    Returns how its vectors agree with those of the backbone as it is, on phantoms that did not give the
    scales: `r2`, the share of their variance that is left, and `cosine`, the smallest between two of them.
    ExtraMissingError without OpenVINO and NNCF; WeightsError, and no file, where less than LEAST_R2 is left.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"{out.name!r} is no name for weights", hint="Let it end in .safetensors.")
    out.parent.mkdir(parents=True, exist_ok=True)  # what cannot be written is known before a minute's work
    openvino, nncf = _libraries()
    backbone = load_backbone(name, weights=weights, input_px=input_px, field_of_view=field_of_view)
    source = backbone.source
    if holds_eight_bits(source.file):
        raise UsageError(f"there is nothing to round in {source}", hint="Name a network's weights.")
    facts = {"backbone": name, "input_px": backbone.input_px, "view": backbone.field_of_view}
    parameters = facts | {"of": source.label, "most_inputs": MOST_INPUTS, "size": size}
    provenance = Provenance(parameters, {"weights": source.sha256}, SEED)
    model = converted(openvino, weighted_network(name, source), backbone.prepare, backbone.input_shape)
    rounded = _rounded(nncf, model, np.concatenate(list(phantom_inputs(backbone, SCALED_ON, size))))
    infer = OpenVINOInference(openvino, rounded)
    agreement = agreement_of(
        (backbone.infer(judged), infer(judged)) for judged in phantom_inputs(backbone, JUDGED_ON, size)
    )
    if not agreement["r2"] >= LEAST_R2:
        what = f"in eight bits {name} has other vectors: R2 {agreement['r2']:.2f}"
        raise WeightsError(what, where=source, hint="Embed with the backbone as it is.")
    save_tensors(out, serialised(openvino, rounded), provenance, agreement=agreement, **facts)
    return agreement


def phantom_inputs(backbone: Backbone, numbers: range, size: str) -> Iterator[np.ndarray]:
    """What the backbone reads of phantoms that no data set holds, in every grey option, stack by stack."""
    studies = in_processes(
        (delayed(draw_study)(STUDY_IDS.stop + number, seed=SEED, size=size) for number in numbers), cores()
    )
    for study in tqdm(studies, total=len(numbers), desc="phantoms", mininterval=1):
        for series in study.series:
            for stack in prepare(list(series.stacks), LONGEST_PX):
                for grey in GREY_OPTIONS:
                    yield backbone.inputs(stack, grey)


def agreement_of(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """R2 and smallest cosine between vectors, or feature maps, and those that stand for them."""
    own, others = (
        np.concatenate([one.reshape(len(one), -1) for one in side]).astype(np.float64) for side in zip(*pairs)
    )
    left = 1 - np.square(own - others).sum() / np.square(own - own.mean(axis=0)).sum()
    lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(others, axis=1)
    return {
        "r2": round(float(left), 5),
        "cosine": round(float(((own * others).sum(axis=1) / lengths).min()), 5),
    }


def _rounded(nncf: Any, model: Any, inputs: np.ndarray) -> Any:
    """OpenVINO's model in eight bits, by scales that suit MOST_INPUTS of these."""
    chosen = np.random.default_rng(SEED).permutation(inputs)[:MOST_INPUTS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NNCF warns of what its own libraries deprecate
        return nncf.quantize(
            model,
            nncf.Dataset(list(chosen[:, None])),
            preset=nncf.QuantizationPreset.MIXED,  # activations may lie on both sides of zero
            subset_size=len(chosen),
        )


def _libraries() -> tuple[Any, Any]:
    """OpenVINO and NNCF, silenced."""
    openvino = silent_openvino()
    try:
        import nncf  # late: it is optional, and takes seconds
    except ImportError:
        nncf = None
    if openvino is None or nncf is None:
        raise ExtraMissingError(
            "networks are rounded by OpenVINO and NNCF, which are not installed",
            hint='pip install "kitlib[openvino]"',
        )
    nncf.set_log_level("ERROR")
    return openvino, nncf
