import pytest
import torch

from kitlib.embed.slices import TORCHVISION, build_slice_network, normalised, slice_network_names


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
