"""The base class of backbones, and networks on slices: those of timm, torchvision and the kit."""

from typing import Any

import numpy as np
import timm
import torch
import torchvision
from timm.layers import Attention, build_sincos2d_pos_embed
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from kitlib.embed.field_of_view import square, stack_images
from kitlib.embed.names import IMAGENET_MEAN, IMAGENET_STD, SPINE_VIT_PX, SPINE_VIT_SHAPE
from kitlib.embed.runtime.inference import Prepare, inference
from kitlib.embed.runtime.int8 import eight_bit_inference
from kitlib.embed.weights.sources import WeightsSource
from kitlib.mri.stack import Stack

TORCHVISION = "torchvision/"


def normalised(slices: Tensor) -> Tensor:
    """Normalise grey values (B, px, px), 0 to 255, by ImageNet statistics: (B, 3, px, px), channels last."""
    grey = slices.unsqueeze(-1)  # (B, px, px, 1): channels last from the start
    mean, std = (torch.tensor(values, device=slices.device) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((grey / 255 - mean) / std).permute(0, 3, 1, 2)


class Backbone:
    """Turns a stack into inputs, and each input into one or more tokens of length `width`.

    Inputs of different stacks may share a batch; the tokens of a stack are those of its inputs, concatenated.
    Here an input is a slice and becomes one token; a `VolumeBackbone` reads whole stacks.
    """

    prepare: Prepare = staticmethod(normalised)

    def __init__(
        self, network: nn.Module | None, source: WeightsSource, input_px: int, field_of_view: str
    ) -> None:
        """`network` is None for a network in eight bits, which is loaded from the source's file."""
        self.source, self.input_px, self.field_of_view = source, input_px, field_of_view
        if network is None:
            self.infer = eight_bit_inference(source, self.input_shape)
        else:
            self.infer = inference(network, self.prepare, self.input_shape)
        self.engine = self.infer.engine  # the name of what runs the network
        outputs = self.infer(np.zeros((1, *self.input_shape), np.uint8))  # (1, d), a map (1, d, D', H', W')
        self.width, self.grid = outputs.shape[1], outputs.shape[2:]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, whatever the stack."""
        return (self.input_px, self.input_px)

    def inputs(self, stack: Stack, grey: str = "greyscale") -> np.ndarray:
        """Return this backbone's inputs from a prepared stack: (n, *input_shape) uint8."""
        return stack_images(stack, self.input_px, field_of_view=self.field_of_view, grey=grey)

    def positions_mm(self, stack: Stack) -> np.ndarray:
        """Return the patient position of the centre of each token of a stack: (n * tokens per input, 3)."""
        return stack.centres_mm

    def embed(self, inputs: np.ndarray) -> np.ndarray:
        """Compute tokens (B * tokens per input, width) float32 of inputs (B, ...) uint8; B may be 0.

        Slices of other sizes are padded and resized to a square.
        """
        if not len(inputs):
            return np.zeros((0, self.width), np.float32)
        return self.infer(square(inputs, self.input_px))


def slice_network_names() -> list[str]:
    """List the models of timm, and those of torchvision with the prefix TORCHVISION."""
    of_torchvision = torchvision.models.list_models(module=torchvision.models)
    return [*timm.list_models(pretrained=False), *(TORCHVISION + name for name in of_torchvision)]


def build_slice_network(name: str) -> tuple[nn.Module, tuple[str, ...]]:
    """Build an untrained network without its classifier; also returns the names of the removed modules."""
    if not name.startswith(TORCHVISION):
        model: Any = timm.create_model(name, pretrained=False, num_classes=0)
        head = getattr(model, "pretrained_cfg", {}).get("classifier") or ()  # custom models may have none
        return model, (head,) if isinstance(head, str) else tuple(head)
    network = torchvision.models.get_model(name.removeprefix(TORCHVISION), weights=None)
    last = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network, (last,)


def build_vit(*, px: int, grid: int, width: int, depth: int, heads: int, dropout: float = 0.0) -> Any:
    """Build an untrained transformer on (B, 3, px, px) with grid x grid patches, whose mean is the embedding.

    Dosovitskiy et al.: An image is worth 16 x 16 words (2021), at a size that two cores can train.
    """
    network: Any = VisionTransformer(
        img_size=px,
        patch_size=px // grid,
        num_classes=0,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=2.0,
        class_token=False,
        global_pool="avg",
        fc_norm=False,
        proj_drop_rate=dropout,
    )
    # A few studies cannot teach the positions of patches: initialise them as sines and cosines.
    network.pos_embed = nn.Parameter(build_sincos2d_pos_embed([grid, grid], dim=width)[None])
    for attention in (one for one in network.modules() if isinstance(one, Attention)):
        # With 64 patches on one core, a step took 1.3 to 2.2 times as long with fused attention.
        attention.fused_attn = False  # type: ignore[misc]  # timm declares it Final, without an argument
    return network


@register_model
def spine_vit(**_: Any) -> VisionTransformer:
    """Build the kit's own transformer, registered with timm, whose extra settings are ignored."""
    return build_vit(px=SPINE_VIT_PX, **SPINE_VIT_SHAPE)
