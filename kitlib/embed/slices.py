"""Networks of slices: any that timm or torchvision knows; one token a slice."""

import copy
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kitlib.embed.base import Backbone, run_network
from kitlib.embed.view import square
from kitlib.embed.weights import WeightsSource
from kitlib.machine import cores, device, half_precision

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TORCHVISION = "torchvision/"
CACHED_SLICES = 4
"""Slices a core at a time: so few leave their feature maps in its cache, a fifth faster than 32."""


class SliceBackbone(Backbone):
    """A network in evaluation mode that embeds slices one by one."""

    def __init__(
        self, network: nn.Module, name: str, source: WeightsSource, input_px: int, view: str = "whole"
    ) -> None:
        super().__init__(name, source, input_px, view)
        # Cast once: autocast would cast the weights again for every few slices, a fifth of the time.
        kind = half_precision() or torch.float32
        lean = folded(network.eval()).to(device(), kind)
        self.network = lean.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.width = self.embed(np.zeros((1, input_px, input_px), np.uint8)).shape[1]

    def embed(self, inputs: np.ndarray) -> np.ndarray:
        """Vectors (B, d) float32 of slices (B, H, W) uint8; other sizes are made square."""
        if not len(inputs):
            return np.zeros((0, self.width), np.float32)
        images = square(inputs, self.input_px)
        few = CACHED_SLICES * cores() if device().type == "cpu" else len(images)
        parts = (images[first : first + few] for first in range(0, len(images), few))
        return np.concatenate([run_network(self.network, network_input(part)) for part in parts])


def folded(network: nn.Module) -> nn.Module:
    """A copy with batch normalisations folded into the convolutions before them, where FX can follow it."""
    try:
        traced = fx.symbolic_trace(copy.deepcopy(network))
    except Exception:  # FX cannot follow branches on data, and raises what it likes; only speed is lost
        return network
    name2module = dict(traced.named_modules())
    for node in traced.graph.nodes:
        norm = name2module.get(node.target) if node.op == "call_module" else None
        if type(norm) is not nn.BatchNorm2d:  # timm's own kinds have an activation in them
            continue
        (before,) = node.all_input_nodes
        convolution = name2module.get(before.target) if before.op == "call_module" else None
        if isinstance(convolution, nn.Conv2d) and len(before.users) == 1:
            traced.set_submodule(before.target, fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(before)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def network_input(slices: np.ndarray) -> torch.Tensor:
    """Slices (B, px, px) uint8 as networks read them: (B, 3, px, px), ImageNet statistics, channels last."""
    grey = torch.from_numpy(slices).to(device()).unsqueeze(-1)  # (B, px, px, 1): channels last from the start
    mean, std = (torch.tensor(values, device=device()) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((grey / 255 - mean) / std).permute(0, 3, 1, 2)


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
