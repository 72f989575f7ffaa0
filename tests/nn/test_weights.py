from pathlib import Path

import pytest
import torch
from torch import nn

from kitlib.artefacts import Provenance, save_tensors
from kitlib.errors import WeightsError
from kitlib.nn.weights import in_half, load_weights, restored, with_prefix


def test_a_network_is_restored_from_halves_and_counts_stay_whole() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).train()
    network(torch.randn(4, 3))
    kept = in_half(network)
    assert kept["0.weight"].dtype == torch.float16
    assert kept["1.num_batches_tracked"].dtype == torch.int64
    found = restored(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), kept, "small", Path("file"))
    assert not found.training
    assert not found[0].weight.requires_grad
    torch.testing.assert_close(found[0].weight, network[0].weight.detach(), atol=1e-3, rtol=1e-3)


def test_tensors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(WeightsError, match="the small network does not fit"):
        restored(nn.Linear(3, 2), in_half(nn.Linear(4, 2)), "small", Path("file"))


@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
def test_a_file_of_weights_that_are_not_finite_is_refused_with_their_name(tmp_path, number) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"count": torch.tensor(3), "w": torch.tensor([1.0, 2.0])}
    save_tensors(path, tensors, Provenance())
    assert load_weights(path).keys() == tensors.keys()
    save_tensors(path, {**tensors, "w": torch.tensor([1.0, number])}, Provenance())
    with pytest.raises(WeightsError, match=r"the weights w are not finite \(.*a.safetensors\)"):
        load_weights(path)


def test_a_prefix_selects_and_leaves() -> None:
    tensors = {"a.x": torch.zeros(1), "b.x": torch.ones(1)}
    assert with_prefix(tensors, "b.") == {"x": tensors["b.x"]}
