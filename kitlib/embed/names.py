"""The names of backbones that are the kit's own, all others are timm's or torchvision's; those of weights."""

MEDICALNET = "medicalnet_resnet"
RESNET_DEPTHS = (10, 18, 34, 50, 101, 152, 200)
VOLUME_NETWORKS = tuple(f"{MEDICALNET}{depth}" for depth in RESNET_DEPTHS)
WEIGHTS = ("auto", "hub", "cached", "shipped", "random")
"""What `weights` may be; anything else is the path of a file."""


def reads_volumes(name: str) -> bool:
    """Whether the backbone of this name is a 3D network."""
    return name in VOLUME_NETWORKS
