"""The backbones on which published systems are compared: short names, descriptions and inputs.

What each was trained on is recorded with its weights (`WeightsSource.label`). None is trained for a row of
the table: without weights, a row has no figures and says how to get the weights.
"""

from kitlib.embed.names import CT_RESNET
from kitlib.inputs.slices import SliceInput

RESNET, MEDICALNET, SHIPPED = "resnet50", "medicalnet_resnet152", "resnet10t"
LITE, CT = "tf_efficientnet_lite0", CT_RESNET
REAL = (LITE, CT)
"""Backbones whose weights were trained on real images and are available from the package index."""

backbone2short = {RESNET: "r50", MEDICALNET: "m152", SHIPPED: "r10t", LITE: "lite0", CT: "ct152"}
backbone2text = {
    RESNET: "ResNet50",
    MEDICALNET: "MedicalNet ResNet152",
    SHIPPED: "the kit's ResNet10-T as it was trained",
    LITE: "EfficientNet-Lite0 of ImageNet",
    CT: "3D ResNet152 of CT",
}
backbone2input = {
    RESNET: SliceInput(backbone=RESNET, weights="auto", input_px=224, field_of_view="whole"),
    MEDICALNET: SliceInput(backbone=MEDICALNET, weights="auto", input_px=224, field_of_view="whole"),
    SHIPPED: SliceInput(backbone=SHIPPED, weights="shipped"),
    LITE: SliceInput(backbone=LITE, weights="imagenet", input_px=224, field_of_view="whole"),
    CT: SliceInput(backbone=CT, weights="ct"),
}
