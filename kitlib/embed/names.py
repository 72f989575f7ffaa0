"""The names of backbones that are the kit's own, all others are timm's or torchvision's; those of weights."""

MEDICALNET = "medicalnet_resnet"
RESNET_DEPTHS = (10, 18, 34, 50, 101, 152, 200)
CT_RESNET = "ct_resnet152"
VOLUME_NETWORKS = (*(f"{MEDICALNET}{depth}" for depth in RESNET_DEPTHS), CT_RESNET)
WEIGHTS = ("auto", "hub", "cached", "shipped", "imagenet", "ct", "random")
"""What `weights` may be; anything else is the path of a file."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By which greys in 0..1 are normalised for networks of slices."""
SPINE_VIT, SPINE_VIT_PX = "spine_vit", 128
SPINE_VIT_SHAPE = {"grid": 8, "width": 192, "depth": 6, "heads": 3}
"""Of the kit's own transformer: what the weights that come with the kit fit."""


def reads_volumes(name: str) -> bool:
    """Whether the backbone of this name is a 3D network."""
    return name in VOLUME_NETWORKS
