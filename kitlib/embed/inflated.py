"""A 2D torchvision network inflated to three dimensions, the architecture of the CT weights.

Carreira and Zisserman: Quo vadis, action recognition? (2017), who called it inflation.
"""

from collections import OrderedDict

import torch
import torchvision
from torch import Tensor, nn

from kitlib.embed.volumes import VolumeBackbone

DEEP = 3
"""Depth in slices of kernels whose side is above one."""


def greys_in_colour(volumes: Tensor) -> Tensor:
    """Scale volumes (B, D, H, W) of grey values from 0..255 to 0..1, as three channels: (B, 3, D, H, W)."""
    return (volumes.float() / 255).unsqueeze(1).expand(-1, 3, -1, -1, -1)


class InflatedBackbone(VolumeBackbone):
    """A `VolumeBackbone` whose network was trained on intensities from air to bone, here black to white."""

    prepare = staticmethod(greys_in_colour)


def build_inflated_network() -> nn.Module:
    """Build an untrained ResNet-152 up to its last feature map: (B, 3, D, H, W) to (B, 2048, D', H', W').

    The first convolution keeps the depth; all later layers that halve rows and columns halve it too.
    """
    with torch.device("meta"):
        network = torchvision.models.resnet152()
    up_to_the_map = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    trunk = nn.Sequential(OrderedDict((name, getattr(network, name)) for name in up_to_the_map))
    inflate(trunk)
    return trunk


def inflate(module: nn.Module) -> None:
    """Replace all 2D layers within a module by untrained 3D ones."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(module, name, inflated_convolution(child))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm3d(child.num_features))
        elif isinstance(child, nn.MaxPool2d):
            setattr(module, name, nn.MaxPool3d(child.kernel_size, child.stride, child.padding))
        else:
            inflate(child)


def inflated_convolution(flat: nn.Conv2d) -> nn.Conv3d:
    """Build the 3D convolution, at most DEEP deep; the stem, which is wider, has no stride in depth."""
    side, step = flat.kernel_size[0], flat.stride[0]
    deep = min(side, DEEP)
    return nn.Conv3d(
        flat.in_channels,
        flat.out_channels,
        (deep, side, side),
        (step if side <= DEEP else 1, step, step),
        (deep // 2, side // 2, side // 2),
        bias=flat.bias is not None,
    )
