"""MedicalNet: 3D ResNets over whole stacks, whose tokens are the voxels of the last feature map.

Chen, Ma and Zheng: Med3D, transfer learning for 3D medical image analysis (2019); networks of MONAI.
"""

from collections import OrderedDict
from functools import partial
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from kitlib.embed.field_of_view import FIELDS_OF_VIEW, square_of, stack_images
from kitlib.embed.names import MEDICALNET
from kitlib.embed.slices import Backbone
from kitlib.errors import ExtraMissingError
from kitlib.mri.stack import Stack

DEPTH = 24


def volume(slices: np.ndarray) -> np.ndarray:
    """Resample slices (N, px, px) uint8, N at least 1, linearly to (DEPTH, px, px) uint8."""
    place = ((np.arange(DEPTH) + 0.5) / DEPTH * len(slices) - 0.5).clip(0, len(slices) - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, len(slices) - 1)
    share = (place - below)[:, None, None]
    return np.rint(slices[below] * (1 - share) + slices[above] * share).astype(np.uint8)


def volume_input(volumes: Tensor) -> Tensor:
    """Z-score volumes (B, D, H, W) of grey values one by one, as network input: (B, 1, D, H, W).

    As in MedicalNet, mean and deviation are those of non-black voxels; black becomes the mean, where
    MedicalNet draws noise.
    """
    grey = volumes.float()
    body = grey > 0
    count = body.sum((1, 2, 3), keepdim=True).clamp(min=1)
    mean = grey.sum((1, 2, 3), keepdim=True) / count
    centred = (grey - mean) * body
    deviation = (centred.square().sum((1, 2, 3), keepdim=True) / count).sqrt()
    return (centred / deviation.clamp(min=1e-3))[:, None]


class VolumeBackbone(Backbone):
    """A 3D network in evaluation mode: one volume per stack, one token per voxel of its last feature map."""

    prepare = staticmethod(volume_input)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(DEPTH, px, px)."""
        return (DEPTH, self.input_px, self.input_px)

    def inputs(self, stack: Stack, grey: str = "greyscale") -> np.ndarray:
        """Return the stack as one volume (1, DEPTH, px, px) uint8."""
        return volume(stack_images(stack, self.input_px, field_of_view=self.field_of_view, grey=grey))[None]

    def positions_mm(self, stack: Stack) -> np.ndarray:
        """Return the patient position of the centre of each voxel of the feature map: (D' * H' * W', 3)."""
        share = FIELDS_OF_VIEW[self.field_of_view].get(stack.plane, 1.0)
        side, first = square_of(stack.pixels.shape[1:], share)
        index, row, col = (
            (np.arange(count) + 0.5) / count * extent - 0.5 + start
            for count, extent, start in zip(self.grid, (len(stack), side, side), (0, *first))
        )
        return stack.to_patient(*np.meshgrid(index, row, col, indexing="ij")[::-1]).reshape(-1, 3)

    def embed(self, inputs: np.ndarray) -> np.ndarray:
        """Compute tokens (B * D' * H' * W', d) float32 of volumes (B, DEPTH, px, px) uint8."""
        if not len(inputs):
            return np.zeros((0, self.width), np.float32)
        return np.moveaxis(self.infer(inputs), 1, -1).reshape(-1, self.width)


def build_volume_network(name: str) -> nn.Module:
    """Build an untrained network up to its last feature map: (B, 1, D, H, W) to (B, d, D', H', W').

    Its keys match the weights that MedicalNet publishes. Raises ExtraMissingError without MONAI.
    """
    try:
        from monai.networks.nets import resnet  # late: 4 to 6 seconds, and absent on Kaggle
    except ImportError:
        raise ExtraMissingError(
            f"{name} needs MONAI, which is not installed", hint='pip install "kitlib[medicalnet]"'
        ) from None
    depth = int(name.removeprefix(MEDICALNET))
    bias, shortcut_type = resnet.get_medicalnet_pretrained_resnet_args(depth)
    network: Any = getattr(resnet, f"resnet{depth}")(
        spatial_dims=3,
        n_input_channels=1,
        num_classes=2,
        feed_forward=False,
        conv1_t_stride=2,
        shortcut_type=shortcut_type,
        bias_downsample=bias,
    )
    for block in list(network.modules()):
        if isinstance(shortcut := getattr(block, "downsample", None), partial):
            given = shortcut.keywords
            block.downsample = partial(zero_padded, planes=given["planes"], stride=given["stride"])
    up_to_the_map = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4")
    return nn.Sequential(OrderedDict((name, getattr(network, name)) for name in up_to_the_map))


def zero_padded(maps: Tensor, planes: int, stride: int) -> Tensor:
    """Subsample feature maps (B, d, D, H, W) by `stride`, and pad them with zero channels to `planes`.

    A shortcut without weights, like MONAI's but without its use of `.data`, which torch cannot export.
    """
    kept = maps[:, :, ::stride, ::stride, ::stride]
    return F.pad(kept, (0, 0, 0, 0, 0, 0, 0, planes - maps.shape[1]))
