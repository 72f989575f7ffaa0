"""Backbones: networks that turn a slice into a vector, by any name that timm or torchvision knows."""

import difflib
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from torch import nn

from kitlib.embed.view import square, stack_images
from kitlib.embed.weights import WeightsSource, find_weights, load_strictly
from kitlib.errors import UsageError
from kitlib.machine import cores, device, half_precision, torch_threads
from kitlib.mri.stack import Stack

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEFAULT_PX = 224
TORCHVISION = "torchvision/"


class Backbone:
    """A network in evaluation mode that embeds slices; `width` is the length d of its vectors."""

    def __init__(
        self, network: nn.Module, name: str, source: WeightsSource, input_px: int, view: str = "whole"
    ) -> None:
        self.name, self.source, self.input_px, self.view = name, source, input_px, view
        self.network = network.eval().to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.width = self.embed(np.zeros((1, input_px, input_px), np.uint8)).shape[1]

    def images(self, stack: Stack, grey: str = "greyscale") -> np.ndarray:
        """The slices of a prepared stack as this network was trained to see them: (N, px, px) uint8."""
        return stack_images(stack, self.input_px, view=self.view, grey=grey)

    def embed(self, slices: np.ndarray) -> np.ndarray:
        """Vectors (B, d) float32 of slices (B, H, W) uint8; other sizes are made square."""
        if not len(slices):
            return np.zeros((0, self.width), np.float32)
        images = network_input(square(slices, self.input_px))
        half = half_precision()
        with (
            torch_threads(cores()),
            torch.inference_mode(),
            torch.autocast(device().type, dtype=half, enabled=half is not None),
        ):
            return self.network(images).float().cpu().numpy()


def network_input(slices: np.ndarray) -> torch.Tensor:
    """Slices (B, px, px) uint8 as networks read them: (B, 3, px, px), ImageNet statistics, channels last."""
    grey = torch.from_numpy(slices).to(device()).unsqueeze(-1)  # (B, px, px, 1): channels last from the start
    mean, std = (torch.tensor(values, device=device()) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((grey / 255 - mean) / std).permute(0, 3, 1, 2)


def load_backbone(
    name: str,
    *,
    weights: str = "auto",
    attached_dir: Path | None = None,
    input_px: int | None = None,
    view: str | None = None,
    seed: int = 0,
) -> Backbone:
    """A timm model by its name, or `torchvision/<name>`, with the weights that `find_weights` finds.

    `input_px` and `view` (one of VIEWS) are what the weights were trained with, where that is known, else
    DEFAULT_PX and "whole"; `seed` draws random weights.
    """
    source = find_weights(known_backbone(name), weights, attached_dir)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, head = build_network(name)
    if source.file is not None:
        load_strictly(network, source.file, head)
    facts: dict[str, Any] = {"input_px": DEFAULT_PX, "view": "whole"} | source.facts
    return Backbone(network, name, source, input_px or facts["input_px"], view or facts["view"])


def known_backbone(name: str) -> str:
    """The name itself; UsageError with the nearest names if neither library has it."""
    timm_names = timm.list_models(pretrained=False)
    torchvision_names = [
        TORCHVISION + one for one in torchvision.models.list_models(module=torchvision.models)
    ]
    if timm.is_model(name) or name in torchvision_names:
        return name
    near = difflib.get_close_matches(name, [*timm_names, *torchvision_names], n=3, cutoff=0.5)
    raise UsageError(f"unknown backbone {name!r}", hint=f"Did you mean {', '.join(near) or 'resnet10t'}?")


def build_network(name: str) -> tuple[nn.Module, tuple[str, ...]]:
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
