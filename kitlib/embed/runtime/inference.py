"""A network in evaluation mode as a function of uint8 arrays, on the fastest engine of this machine.

On a CPU that is OpenVINO, if the extra `openvino` is installed, else torch; on a GPU it is torch.
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
"""Converts inputs (B, ...) uint8 to network input."""

PIXELS_AT_ONCE = {"cpu": 4 * 224 * 224, "cuda": 64 * 224 * 224}
"""Small on a CPU, so that feature maps stay in a core's cache, which is a fifth faster; large on a GPU."""
MEMORY_FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}
FOLDED = (nn.BatchNorm2d, nn.BatchNorm3d)
"""Exactly these types: timm's subclasses of them include an activation."""


def inference(network: nn.Module, prepare: Prepare, input_shape: tuple[int, ...]) -> "Inference":
    """Run `prepare` and then the network on the fastest engine; warns and uses torch if OpenVINO fails."""
    openvino = silent_openvino() if device().type == "cpu" else None
    if openvino is not None:
        try:
            return OpenVINOInference(openvino, converted(openvino, network, prepare, input_shape))
        except Exception as error:  # exporter, converter and compiler raise all kinds of errors
            warnings.warn(
                f"OpenVINO cannot run this network, so torch does it: {type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
    return TorchInference(network, prepare, input_shape)


class OpenVINOInference:
    """Compiled for one input; each core processes its own, so that results do not depend on the batch."""

    def __init__(self, openvino: Any, model: Any, engine: str = "openvino") -> None:
        self.engine = engine
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if half_precision() is torch.bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": cores(),
            "NUM_STREAMS": cores(),
            "ENABLE_CPU_PINNING": False,  # other threads load series, and other processes embed too
        }
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        self.output_shape = tuple(compiled.output(0).shape)[1:]
        self.requests = openvino.AsyncInferQueue(compiled, cores())

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """See `Inference`."""
        outputs = np.empty((len(inputs), *self.output_shape), np.float32)

        def keep(request: Any, row: int) -> None:
            outputs[row] = request.get_output_tensor().data[0]

        self.requests.set_callback(keep)
        for row in range(len(inputs)):
            self.requests.start_async([inputs[row : row + 1]], row)
        self.requests.wait_all()
        return outputs


class TorchInference:
    """Batch norms folded, half precision where that is fast, channels last, few inputs at a time."""

    engine = "torch"

    def __init__(self, network: nn.Module, prepare: Prepare, input_shape: tuple[int, ...]) -> None:
        # Cast once: autocast would cast the weights again for every small batch, a fifth of the time.
        lean = folded(network.eval()).to(device(), half_precision() or torch.float32)
        self.network = lean.to(memory_format=MEMORY_FORMATS[len(input_shape)])  # type: ignore[call-overload]
        self.prepare = prepare
        workers = cores() if device().type == "cpu" else 1
        self.at_once = max(1, PIXELS_AT_ONCE[device().type] * workers // math.prod(input_shape))

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """See `Inference`."""
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
"""Maps inputs (B, *input_shape) uint8 to outputs (B, ...) float32, in order; B is at least one."""


def converted(openvino: Any, network: nn.Module, prepare: Prepare, input_shape: tuple[int, ...]) -> Any:
    """Convert `prepare` followed by a network to an OpenVINO model, for one input at a time."""
    behind = Behind(prepare, folded(network.eval()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of deprecations in torch itself
        exported = torch.export.export(behind, (torch.zeros(1, *input_shape, dtype=torch.uint8),))
        model = openvino.convert_model(exported)
    model.reshape([1, *input_shape])  # the converter forgets what shape was exported
    return model


class Behind(nn.Module):
    """A network preceded by its input preparation, so that both are compiled into one."""

    def __init__(self, prepare: Prepare, network: nn.Module) -> None:
        super().__init__()
        self.prepare, self.network = prepare, network

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (B, ...) uint8 to outputs (B, ...)."""
        return self.network(self.prepare(inputs))


def folded(network: nn.Module) -> nn.Module:
    """Return a copy with batch normalisations folded into the convolutions before them.

    If FX cannot trace the network nothing is folded, with a warning; only speed is lost.
    """
    network = copy.deepcopy(network)
    if not any(type(module) in FOLDED for module in network.modules()):
        return network
    try:
        traced = fx.symbolic_trace(network)
    except Exception as error:  # FX cannot trace data-dependent branches, and raises all kinds of errors
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
    """Import OpenVINO without its telemetry; None if it is not installed."""
    # Importing it, and each conversion, reports to Google Analytics unless the user has opted out in a file
    # of the home folder. OpenVINO falls back to a stub if the telemetry package is missing, so hide it from
    # this whole process: the kit reads images of patients and must send nothing to anyone.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino  # late: it is optional
    except ImportError:
        return None
    return openvino
