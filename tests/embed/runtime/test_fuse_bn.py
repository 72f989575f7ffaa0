"""A folded network has fewer modules and the same outputs."""

import pytest
import torch

from kitlib.embed.backbone import build_network
from kitlib.embed.runtime.fuse_bn import folded


@pytest.mark.parametrize("name", ["test_resnet", "resnet10t", "torchvision/mobilenet_v3_small"])
def test_folding_changes_nothing_but_the_time(name: str) -> None:
    network = build_network(name)[0].eval()
    for module in network.modules():  # as after training: statistics that do something
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    lean, images = folded(network), torch.rand(2, 3, 64, 64)
    assert sum(isinstance(one, torch.nn.BatchNorm2d) for one in lean.modules()) == 0
    with torch.inference_mode():
        expected = network(images)
        assert torch.allclose(lean(images), expected, atol=1e-4 * float(expected.abs().max()))


class Branching(torch.nn.Module):
    def __init__(self, *modules: torch.nn.Module) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(*modules)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images) if images.sum() > 0 else -images


def test_a_network_that_fx_cannot_follow_is_copied_as_it_is_and_said_to_be_slower() -> None:
    network = Branching(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    with pytest.warns(RuntimeWarning, match="runs slower: TraceError"):
        lean = folded(network)
    assert type(lean) is Branching
    assert lean is not network


def test_where_there_is_nothing_to_fold_nothing_is_said() -> None:
    network = Branching(torch.nn.Conv2d(3, 4, 1))
    lean = folded(network)  # warnings are errors here
    assert type(lean) is Branching
    assert lean is not network
