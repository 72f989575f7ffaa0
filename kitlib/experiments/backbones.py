"""The backbones that published systems are compared on: their short names, and how slices reach them.

What each has seen stands with its weights (`WeightsSource.label`). None is trained for a row of the table:
one without weights makes rows without figures, which say how to get some.
"""

from kitlib.embed.names import CT_RESNET
from kitlib.inputs.slices import SliceInput

RESNET, MEDICALNET, SHIPPED = "resnet50", "medicalnet_resnet152", "resnet10t"
LITE, CT = "tf_efficientnet_lite0", CT_RESNET
REAL = (LITE, CT)
"""Those whose weights saw real images and can be had from the package index."""

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
