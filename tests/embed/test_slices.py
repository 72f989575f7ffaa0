import numpy as np
import pytest
import timm
import torch

from kitlib.embed.backbone import load_backbone
from kitlib.embed.names import SPINE_VIT, SPINE_VIT_PX
from kitlib.embed.slices import TORCHVISION, build_slice_network, build_vit, normalised, slice_network_names


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "torchvision/mobilenet_v3_small"])
def test_a_network_has_lost_its_classifier_and_knows_its_name(name: str) -> None:
    network, head = build_slice_network(name)
    px = 160 if name == "test_vit" else 32
    with torch.inference_mode():
        vectors = network.eval()(torch.zeros(2, 3, px, px))
    assert vectors.shape[0] == 2
    assert vectors.shape[1] != 1000
    assert head
    assert not {f"{module}.weight" for module in head} & set(network.state_dict())


def test_both_libraries_are_known_by_name() -> None:
    names = slice_network_names()
    assert len(set(names)) == len(names)
    assert {"resnet50", f"{TORCHVISION}resnet18"} <= set(names)


def test_what_networks_read_has_imagenet_statistics() -> None:
    images = normalised(torch.full((2, 8, 8), 255, dtype=torch.uint8))
    assert images.shape == (2, 3, 8, 8)
    assert images[0, :, 0, 0].tolist() == pytest.approx(
        [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    )


def test_timm_knows_the_kits_own_transformer_by_name() -> None:
    network = timm.create_model(SPINE_VIT, pretrained=False, num_classes=0).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, SPINE_VIT_PX, SPINE_VIT_PX)).shape == (2, 192)


@pytest.mark.slow
def test_the_weights_of_the_transformer_come_with_the_kit_and_fit() -> None:
    backbone = load_backbone(SPINE_VIT, weights="shipped")
    assert (backbone.input_px, backbone.field_of_view, backbone.width) == (SPINE_VIT_PX, "middle", 192)
    slices = np.random.default_rng(0).integers(0, 256, (2, SPINE_VIT_PX, SPINE_VIT_PX), dtype=np.uint8)
    assert np.isfinite(backbone.embed(slices)).all()


def test_patches_know_their_order_before_anything_is_learned() -> None:
    network = build_vit(px=32, grid=4, width=16, depth=1, heads=1)
    places = network.pos_embed[0]
    assert places.shape == (16, 16)
    assert (torch.cdist(places, places) + torch.eye(16) > 0.1).all()
