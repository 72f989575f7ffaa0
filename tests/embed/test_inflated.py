"""2D networks inflated to 3D: they match the definition of inflation."""

import pytest
import torch
import torchvision
from torch import nn

from kitlib.embed.backbone import build_network, kind_of
from kitlib.embed.inflated import InflatedBackbone, build_inflated_network, greys_in_colour, inflate
from kitlib.embed.names import CT_RESNET


def test_slices_that_are_all_the_same_give_what_the_flat_network_gives() -> None:
    """The 2D network's kernels in the middle of the 3D ones, as inflation is defined."""
    torch.manual_seed(0)
    flat = torchvision.models.resnet50().eval()
    deep = torchvision.models.resnet50()
    inflate(deep)
    tensors = deep.state_dict()
    assert list(tensors) == list(flat.state_dict())
    for name, tensor in flat.state_dict().items():
        if tensors[name].ndim == 5:
            tensors[name].zero_()[:, :, tensors[name].shape[2] // 2] = tensor
        else:
            tensors[name].copy_(tensor)
    whole, trunk = (nn.Sequential(*list(network.eval().children())[:-2]) for network in (flat, deep))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = whole(image)  # (1, 2048, 2, 2)
        seen = trunk(image.unsqueeze(2).expand(-1, -1, 32, -1, -1))
    assert seen.shape == (1, 2048, 2, 2, 2)
    torch.testing.assert_close(seen, expected.unsqueeze(2).expand_as(seen), atol=1e-4, rtol=1e-3)


def test_the_network_that_saw_ct_has_the_tensors_of_its_weights() -> None:
    with torch.device("meta"):
        network = build_inflated_network()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert len(shapes) == 930
    assert shapes["conv1.weight"] == (64, 3, 3, 7, 7)
    assert shapes["layer1.0.conv2.weight"] == (64, 64, 3, 3, 3)
    assert shapes["layer4.2.conv3.weight"] == (2048, 512, 1, 1, 1)
    assert network.conv1.stride == (1, 2, 2)
    assert network.layer2[0].downsample[0].stride == (2, 2, 2)


def test_it_is_a_backbone_by_name_that_reads_volumes() -> None:
    assert kind_of(CT_RESNET) is InflatedBackbone
    with torch.device("meta"):
        assert len(build_network(CT_RESNET)[0].state_dict()) == 930


@pytest.mark.parametrize("grey", [0, 51, 255])
def test_black_is_nought_and_white_is_one_in_all_three_channels(grey: int) -> None:
    read = greys_in_colour(torch.full((2, 3, 4, 5), grey, dtype=torch.uint8))
    assert read.shape == (2, 3, 3, 4, 5)
    assert read.unique().tolist() == pytest.approx([grey / 255])
