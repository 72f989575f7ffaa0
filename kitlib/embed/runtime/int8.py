"""Networks in eight bits: weights files that hold OpenVINO's graph of a network instead of its tensors.

Weights and activations are rounded to 256 steps. Such a file is found, named and checked like any other, and
has its own sha256, so its vectors are never mixed with those of the network that it was made from
(`kitlib.embed.runtime.quantise`).
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kitlib.artefacts import is_complete, load_tensors
from kitlib.embed.runtime.inference import Inference, OpenVINOInference, silent_openvino
from kitlib.embed.weights.sources import WeightsSource
from kitlib.errors import ExtraMissingError, WeightsError

GRAPH, NUMBERS = "openvino.xml", "openvino.bin"
"""The two tensors of bytes: the graph and its constants."""


def holds_eight_bits(file: Path | None) -> bool:
    """Return whether a weights file is of this kind; False if it cannot be read."""
    try:
        with safe_open(file, "pt") as opened:
            return GRAPH in opened.keys()  # noqa: SIM118  # it is no dictionary
    except (OSError, SafetensorError, TypeError):
        return False


def eight_bit_inference(source: WeightsSource, input_shape: tuple[int, ...]) -> Inference:
    """Load the network in such a file, which includes the preparation of its inputs.

    Raises ExtraMissingError without OpenVINO, and WeightsError if the file is for another backbone or input
    size, or its sidecar is missing.
    """
    assert source.file is not None
    openvino = silent_openvino()
    if openvino is None:
        raise ExtraMissingError(
            f"{source.file.name} needs OpenVINO, which is not installed",
            hint='pip install "kitlib[openvino]"',
        )
    if not is_complete(source.file):
        raise WeightsError(
            "the file has no sidecar that says what its network reads",
            where=source.file,
            hint=f"Copy {source.file.name}.json beside it, or run `python -m kitlib weights quantise` again.",
        )
    model = _opened(openvino, source.file)
    made_for = source.facts["backbone"], tuple(model.input(0).shape)[1:]
    if made_for != (source.name, input_shape):
        raise WeightsError(
            f"the network was made for {made_for}, not for {(source.name, input_shape)}",
            where=source.file,
            hint="Eight-bit networks read one size: run `python -m kitlib weights quantise` for this one.",
        )
    return OpenVINOInference(openvino, model, "openvino int8")


def serialised(openvino: Any, model: Any) -> dict[str, Tensor]:
    """Serialise an OpenVINO model to the tensors of such a file: the same bytes for the same network."""
    _rename_by_place(model)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in (GRAPH, NUMBERS)}
        openvino.serialize(model, files[GRAPH], files[NUMBERS])
        return {name: torch.from_numpy(np.fromfile(file, np.uint8)) for name, file in files.items()}


def _rename_by_place(model: Any) -> None:
    """Name a model's nodes by their order: OpenVINO numbers them across all models of the process."""
    model.set_friendly_name("network")
    for place, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{place}")
        facts = node.get_rt_info()
        for name in [name for name in facts if name.startswith("fused_names")]:
            del facts[name]


def _opened(openvino: Any, file: Path) -> Any:
    tensors = load_tensors(file)
    try:
        graph, numbers = (tensors[name].numpy() for name in (GRAPH, NUMBERS))
        return openvino.Core().read_model(graph.tobytes(), openvino.Tensor(numbers))
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"OpenVINO cannot read the network: {type(error).__name__}",
            where=file,
            hint="Run `python -m kitlib weights quantise` again with the OpenVINO that is installed here.",
        ) from None
