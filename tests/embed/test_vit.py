import numpy as np
import pytest
import timm
import torch

from kitlib.embed.backbone import load_backbone
from kitlib.embed.names import SPINE_VIT
from kitlib.embed.vit import SPINE_VIT_PX, build_vit


def test_timm_knows_it_by_name() -> None:
    network = timm.create_model(SPINE_VIT, pretrained=False, num_classes=0).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, SPINE_VIT_PX, SPINE_VIT_PX)).shape == (2, 192)


@pytest.mark.slow
def test_its_weights_come_with_the_kit_and_fit() -> None:
    backbone = load_backbone(SPINE_VIT, weights="shipped")
    assert (backbone.input_px, backbone.field_of_view, backbone.width) == (SPINE_VIT_PX, "middle", 192)
    slices = np.random.default_rng(0).integers(0, 256, (2, SPINE_VIT_PX, SPINE_VIT_PX), dtype=np.uint8)
    assert np.isfinite(backbone.embed(slices)).all()


def test_patches_know_their_order_before_anything_is_learned() -> None:
    network = build_vit(px=32, grid=4, width=16, depth=1, heads=1)
    places = network.pos_embed[0]
    assert places.shape == (16, 16)
    assert (torch.cdist(places, places) + torch.eye(16) > 0.1).all()
