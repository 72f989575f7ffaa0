"""Names of the kit's own backbones (all others are timm's or torchvision's), and of weights."""

MEDICALNET = "medicalnet_resnet"
RESNET_DEPTHS = (10, 18, 34, 50, 101, 152, 200)
CT_RESNET = "ct_resnet152"
VOLUME_NETWORKS = (*(f"{MEDICALNET}{depth}" for depth in RESNET_DEPTHS), CT_RESNET)
WEIGHTS = ("auto", "hub", "cached", "shipped", "imagenet", "ct", "random")
"""Named values of `weights`; anything else is the path of a file."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Normalisation of grey values in 0..1 for networks on slices."""
SPINE_VIT, SPINE_VIT_PX = "spine_vit", 128
SPINE_VIT_SHAPE = {"grid": 8, "width": 192, "depth": 6, "heads": 3}
"""Shape of the kit's own transformer, for which weights come with the kit."""


def reads_volumes(name: str) -> bool:
    """Return whether the backbone of this name is a 3D network."""
    return name in VOLUME_NETWORKS
