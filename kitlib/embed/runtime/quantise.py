"""Quantise a backbone to eight bits with NNCF: about twice as fast on CPUs, with nearly the same vectors."""

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

SEED = 2025  # not that of `weights train`: on its training phantoms a network may behave better
SCALED_ON, JUDGED_ON = range(5), range(5, 8)
"""Phantoms, of about fifty slices each, for calibrating the scales and for evaluating them."""
MOST_INPUTS = 300
LONGEST_PX = 320
LEAST_R2 = 0.9
"""Below this, the vectors are too different from the original ones."""


def quantise(
    out: Path,
    name: str,
    *,
    weights: str = "auto",
    input_px: int | None = None,
    field_of_view: str | None = None,
    size: str = "demo",
) -> dict[str, float]:
    """Save a backbone, found as by `load_backbone`, in eight bits for inputs of one size.

    Returns the agreement of its vectors with the original ones, on phantoms not used for calibration: `r2`,
    the share of variance explained, and `cosine`, the smallest similarity of a pair. Raises ExtraMissingError
    without OpenVINO and NNCF, and WeightsError, without writing a file, if `r2` is below LEAST_R2.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"{out.name!r} is no name for weights", hint="Let it end in .safetensors.")
    out.parent.mkdir(parents=True, exist_ok=True)  # fail before a minute's work if it cannot be written
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
    """Yield the backbone's inputs for phantoms of no data set, in every grey option, stack by stack."""
    studies = in_processes(
        (delayed(draw_study)(STUDY_IDS.stop + number, seed=SEED, size=size) for number in numbers), cores()
    )
    for study in tqdm(studies, total=len(numbers), desc="phantoms", mininterval=1):
        for series in study.series:
            for stack in prepare(list(series.stacks), LONGEST_PX):
                for grey in GREY_OPTIONS:
                    yield backbone.inputs(stack, grey)


def agreement_of(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Return R2 and the smallest cosine between vectors, or feature maps, and their approximations."""
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
    """Quantise an OpenVINO model to eight bits, with scales calibrated on MOST_INPUTS of these inputs."""
    chosen = np.random.default_rng(SEED).permutation(inputs)[:MOST_INPUTS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NNCF warns of deprecations in its own dependencies
        return nncf.quantize(
            model,
            nncf.Dataset(list(chosen[:, None])),
            preset=nncf.QuantizationPreset.MIXED,  # activations may lie on both sides of zero
            subset_size=len(chosen),
        )


def _libraries() -> tuple[Any, Any]:
    """Import OpenVINO and NNCF, with their logging silenced."""
    openvino = silent_openvino()
    try:
        import nncf  # late: it is optional, and takes seconds
    except ImportError:
        nncf = None
    if openvino is None or nncf is None:
        raise ExtraMissingError(
            "quantising needs OpenVINO and NNCF, which are not installed",
            hint='pip install "kitlib[openvino]"',
        )
    nncf.set_log_level("ERROR")
    return openvino, nncf
