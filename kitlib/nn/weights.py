"""Network weights as saved in files, in half precision, and networks restored from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from kitlib.artefacts import load_tensors
from kitlib.errors import WeightsError

Net = TypeVar("Net", bound=nn.Module)


def in_half(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's tensors for saving: floats in half precision, integers unchanged."""
    return {name: _cast(tensor, torch.float16) for name, tensor in network.state_dict().items()}


def exactly(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's tensors, in half precision where that is lossless."""
    halves = in_half(network)
    return {
        name: halves[name] if torch.equal(halves[name].to(tensor.dtype), tensor) else tensor
        for name, tensor in network.state_dict().items()
    }


def load_weights(path: Path) -> dict[str, Tensor]:
    """Load the tensors of a weights file. Raises ArtefactError or WeightsError if they cannot be used."""
    tensors = load_tensors(path)
    refuse_not_finite(tensors, path)
    return tensors


def refuse_not_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise WeightsError, with its name, for the first tensor that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            what = f"the weights {name} are not finite"
            raise WeightsError(what, where=path, hint="Download the file again, or retrain.")


def restored(network: Net, tensors: Mapping[str, Tensor], name: str, path: Path) -> Net:
    """Load a file's tensors into a network, in evaluation mode. Raises WeightsError if they do not fit."""
    try:
        network.load_state_dict({part: _cast(tensor, torch.float32) for part, tensor in tensors.items()})
    except RuntimeError as error:
        last = str(error).splitlines()[-1].strip()
        raise WeightsError(f"the {name} network does not fit: {last}", where=path) from None
    return network.eval().requires_grad_(False)


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Select the tensors whose names begin with `prefix`, and strip it from the names."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
