"""Networks of slices: any that timm or torchvision knows; one token a slice."""

from typing import Any

import numpy as np
import timm
import torch
import torchvision
from torch import Tensor, nn

import kitlib.embed.vit  # noqa: F401  # timm knows SPINE_VIT from then on
from kitlib.embed.base import Backbone, Compiler
from kitlib.embed.field_of_view import square
from kitlib.embed.weights.sources import WeightsSource
from kitlib.machine import device

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TORCHVISION = "torchvision/"


def network_input(slices: np.ndarray) -> Tensor:
    """Slices (B, px, px) uint8 as networks read them, on the device: (B, 3, px, px)."""
    return normalised(torch.from_numpy(slices).to(device()))


def normalised(slices: Tensor) -> Tensor:
    """Grey values (B, px, px), 0 to 255, with ImageNet statistics: (B, 3, px, px), channels last."""
    grey = slices.unsqueeze(-1)  # (B, px, px, 1): channels last from the start
    mean, std = (torch.tensor(values, device=slices.device) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((grey / 255 - mean) / std).permute(0, 3, 1, 2)


class SliceBackbone(Backbone):
    """A network in evaluation mode that embeds slices one by one."""

    prepare = staticmethod(normalised)

    def __init__(
        self, compiler: Compiler, name: str, source: WeightsSource, input_px: int, field_of_view: str
    ) -> None:
        super().__init__(compiler, name, source, input_px, field_of_view)
        self.width = self.embed(np.zeros((1, *self.input_shape), np.uint8)).shape[1]

    def embed(self, inputs: np.ndarray) -> np.ndarray:
        """Vectors (B, d) float32 of slices (B, H, W) uint8; other sizes are made square."""
        if not len(inputs):
            return np.zeros((0, self.width), np.float32)
        return self.infer(square(inputs, self.input_px))


def slice_network_names() -> list[str]:
    """What timm knows, and what torchvision knows behind TORCHVISION."""
    of_torchvision = torchvision.models.list_models(module=torchvision.models)
    return [*timm.list_models(pretrained=False), *(TORCHVISION + name for name in of_torchvision)]


def build_slice_network(name: str) -> tuple[nn.Module, tuple[str, ...]]:
    """The untrained network without its classifier, and the names of the modules that were the classifier."""
    if not name.startswith(TORCHVISION):
        model: Any = timm.create_model(name, pretrained=False, num_classes=0)
        head = model.pretrained_cfg.get("classifier") or ()
        return model, (head,) if isinstance(head, str) else tuple(head)
    network = torchvision.models.get_model(name.removeprefix(TORCHVISION), weights=None)
    last = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network, (last,)
