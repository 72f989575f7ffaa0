"""A network in evaluation mode as a function of uint8 arrays, run by whatever is fastest on this machine.

On a CPU that is OpenVINO, where the extra `openvino` is installed, else torch; on a GPU it is torch.
"""

import copy
import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kitlib.machine import cores, device, half_precision, torch_threads

Prepare = Callable[[Tensor], Tensor]
"""From inputs (B, ...) uint8 to what a network reads."""

PIXELS_AT_ONCE = {"cpu": 4 * 224 * 224, "cuda": 64 * 224 * 224}
"""A core of a CPU keeps the feature maps of so few in its cache, a fifth faster; a GPU likes many."""
MEMORY_FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}
FOLDED = (nn.BatchNorm2d, nn.BatchNorm3d)
"""Exactly these types: timm's own, which inherit from them, have an activation inside."""


def inference(network: nn.Module, prepare: Prepare, input_shape: tuple[int, ...]) -> "Inference":
    """The network behind `prepare` on the fastest engine; torch with a warning where OpenVINO cannot."""
    openvino = silent_openvino() if device().type == "cpu" else None
    if openvino is not None:
        try:
            return OpenVINOInference(openvino, converted(openvino, network, prepare, input_shape))
        except Exception as error:  # exporter, converter and compiler raise what they like
            warnings.warn(
                f"OpenVINO cannot run this network, so torch does it: {type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
    return TorchInference(network, prepare, input_shape)


class OpenVINOInference:
    """Compiled for one input; each core works on one of its own, so that none depends on its batch."""

    def __init__(self, openvino: Any, model: Any, engine: str = "openvino") -> None:
        self.engine = engine
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if half_precision() is torch.bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": cores(),
            "NUM_STREAMS": cores(),
            "ENABLE_CPU_PINNING": False,  # other threads load the next series, other processes embed too
        }
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        self.output_shape = tuple(compiled.output(0).shape)[1:]
        self.requests = openvino.AsyncInferQueue(compiled, cores())

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """As `Inference` says."""
        outputs = np.empty((len(inputs), *self.output_shape), np.float32)

        def keep(request: Any, row: int) -> None:
            outputs[row] = request.get_output_tensor().data[0]

        self.requests.set_callback(keep)
        for row in range(len(inputs)):
            self.requests.start_async([inputs[row : row + 1]], row)
        self.requests.wait_all()
        return outputs


class TorchInference:
    """Folded, in half precision where that is fast, channels last, few inputs at a time."""

    engine = "torch"

    def __init__(self, network: nn.Module, prepare: Prepare, input_shape: tuple[int, ...]) -> None:
        # Cast once: autocast would cast the weights again for every few slices, a fifth of the time.
        lean = folded(network.eval()).to(device(), half_precision() or torch.float32)
        self.network = lean.to(memory_format=MEMORY_FORMATS[len(input_shape)])  # type: ignore[call-overload]
        self.prepare = prepare
        workers = cores() if device().type == "cpu" else 1
        self.at_once = max(1, PIXELS_AT_ONCE[device().type] * workers // math.prod(input_shape))

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """As `Inference` says."""
        parts = (inputs[first : first + self.at_once] for first in range(0, len(inputs), self.at_once))
        return np.concatenate([self._outputs(part) for part in parts])

    def _outputs(self, inputs: np.ndarray) -> np.ndarray:
        half = half_precision()
        with (
            torch_threads(cores()),
            torch.inference_mode(),
            torch.autocast(device().type, dtype=half, enabled=half is not None),
        ):
            return self.network(self.prepare(torch.from_numpy(inputs).to(device()))).float().cpu().numpy()


Inference = OpenVINOInference | TorchInference
"""Outputs (B, ...) float32 of inputs (B, *input_shape) uint8, in their order; there is at least one."""


def converted(openvino: Any, network: nn.Module, prepare: Prepare, input_shape: tuple[int, ...]) -> Any:
    """OpenVINO's model of a network behind `prepare`, for one input at a time."""
    behind = Behind(prepare, folded(network.eval()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of what torch itself deprecates
        exported = torch.export.export(behind, (torch.zeros(1, *input_shape, dtype=torch.uint8),))
        model = openvino.convert_model(exported)
    model.reshape([1, *input_shape])  # the converter forgets what shape was exported
    return model


class Behind(nn.Module):
    """A network behind what prepares its inputs, so that both are compiled into one."""

    def __init__(self, prepare: Prepare, network: nn.Module) -> None:
        super().__init__()
        self.prepare, self.network = prepare, network

    def forward(self, inputs: Tensor) -> Tensor:
        """From inputs (B, ...) uint8 to outputs (B, ...)."""
        return self.network(self.prepare(inputs))


def folded(network: nn.Module) -> nn.Module:
    """A copy with batch normalisations folded into the convolutions before them.

    Where FX cannot follow the network nothing is folded, with a warning: only speed is lost.
    """
    network = copy.deepcopy(network)
    if not any(type(module) in FOLDED for module in network.modules()):
        return network
    try:
        traced = fx.symbolic_trace(network)
    except Exception as error:  # FX cannot follow branches on data, and raises what it likes
        warnings.warn(
            f"batch normalisations stay, so this network runs slower: {type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return network
    name2module: dict[str, Any] = dict(traced.named_modules())
    for node in traced.graph.nodes:
        norm: Any = name2module.get(node.target) if node.op == "call_module" else None
        if type(norm) not in FOLDED:
            continue
        (before,) = node.all_input_nodes
        convolution = name2module.get(before.target) if before.op == "call_module" else None
        if isinstance(convolution, nn.Conv2d | nn.Conv3d) and len(before.users) == 1:
            traced.set_submodule(before.target, fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def silent_openvino() -> Any:
    """OpenVINO without its telemetry; None where it is not installed."""
    # Importing it, and each conversion, reports to Google Analytics unless the user has opted out in a file
    # of the home folder. Where that package is absent OpenVINO has a stub for it; so it is made absent, for
    # this whole process, because the kit reads images of patients and sends nothing to anyone.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino  # late: it is optional
    except ImportError:
        return None
    return openvino
