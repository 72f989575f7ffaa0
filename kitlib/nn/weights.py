"""A network's tensors as files keep them, numbers in half precision, and networks restored from these."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from kitlib.artefacts import load_tensors
from kitlib.errors import WeightsError

Net = TypeVar("Net", bound=nn.Module)


def in_half(network: nn.Module) -> dict[str, Tensor]:
    """A network's tensors as they are kept: numbers in half precision, counts as they are."""
    return {name: _cast(tensor, torch.float16) for name, tensor in network.state_dict().items()}


def exactly(network: nn.Module) -> dict[str, Tensor]:
    """A network's tensors, in half precision where that loses nothing."""
    halves = in_half(network)
    return {
        name: halves[name] if torch.equal(halves[name].to(tensor.dtype), tensor) else tensor
        for name, tensor in network.state_dict().items()
    }


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights; ArtefactError or WeightsError where they cannot be used."""
    tensors = load_tensors(path)
    refuse_not_finite(tensors, path)
    return tensors


def refuse_not_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """WeightsError, with its name, at the first tensor that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            what = f"the weights {name} are not finite"
            raise WeightsError(what, where=path, hint="Fetch the file, or train, again.")


def restored(network: Net, tensors: Mapping[str, Tensor], name: str, path: Path) -> Net:
    """A network with its tensors of a file, in evaluation mode; WeightsError where they do not fit."""
    try:
        network.load_state_dict({part: _cast(tensor, torch.float32) for part, tensor in tensors.items()})
    except RuntimeError as error:
        last = str(error).splitlines()[-1].strip()
        raise WeightsError(f"the {name} network does not fit: {last}", where=path) from None
    return network.eval().requires_grad_(False)


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, under the rest of their names."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
