"""The names of backbones that are the kit's own, all others are timm's or torchvision's; those of weights."""

import re

MEDICALNET = "medicalnet_resnet"
RESNET_DEPTHS = (10, 18, 34, 50, 101, 152, 200)
VOLUME_NETWORKS = tuple(f"{MEDICALNET}{depth}" for depth in RESNET_DEPTHS)
WEIGHTS = ("auto", "hub", "cached", "shipped", "random")
"""What `weights` may be; anything else is the path of a file."""
PIXELS = re.compile(r"pixels_([1-9]\d{0,2})")


def reads_volumes(name: str) -> bool:
    """Whether the backbone of this name is a 3D network."""
    return name in VOLUME_NETWORKS


def pixels_px(name: str) -> int | None:
    """The side that a name such as `pixels_64` asks for; None if it is no such name."""
    match = PIXELS.fullmatch(name)
    return int(match[1]) if match else None
