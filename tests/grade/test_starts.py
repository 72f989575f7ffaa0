"""A grader starts from the weights that were requested, and can be trained."""

from pathlib import Path

import pytest
import torch

from kitlib.artefacts import Provenance, sha256
from kitlib.embed.weights import imagenet
from kitlib.errors import UsageError, WeightsError
from kitlib.grade.network import SHIPPED, StudyNet, load_network, save_network
from kitlib.grade.starts import fingerprint_of_start, started


def test_what_ships_is_started_from_and_can_be_trained() -> None:
    network, shipped = started("shipped"), load_network(SHIPPED).state_dict()
    assert all(torch.equal(tensor, shipped[name]) for name, tensor in network.state_dict().items())
    assert all(weight.requires_grad for weight in network.parameters())


def test_nothing_is_a_network_of_any_backbone() -> None:
    assert started("nothing").backbone == load_network(SHIPPED).backbone
    assert fingerprint_of_start("nothing") is None
    assert started("nothing", "test_resnet").backbone == "test_resnet"


def test_a_file_is_started_from(tmp_path: Path) -> None:
    network = StudyNet("test_resnet")
    save_network(tmp_path / "own.safetensors", network, Provenance())
    assert started(str(tmp_path / "own.safetensors")).backbone == "test_resnet"
    assert fingerprint_of_start(str(tmp_path / "own.safetensors")) == sha256(tmp_path / "own.safetensors")
    with pytest.raises(WeightsError, match="no file of weights"):
        started(str(tmp_path / "none.safetensors"))
    with pytest.raises(UsageError, match="those of 'test_resnet', not of 'resnet10t'"):
        started(str(tmp_path / "own.safetensors"), "resnet10t")


def test_imagenet_gives_the_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    normalisations: list[tuple] = []

    def tensors(mean: tuple, deviation: tuple) -> dict[str, torch.Tensor]:
        normalisations.append((mean, deviation))
        trunk = StudyNet(imagenet.BACKBONE).views.trunk.state_dict()
        return {name: torch.full_like(tensor, 3) for name, tensor in trunk.items()} | {"classifier": None}

    monkeypatch.setattr(imagenet, "imagenet_tensors", tensors)
    network = started("imagenet")
    assert (network.views.trunk.conv_stem.weight == 3).all()
    assert network.views.trunk.conv_stem.weight.shape[1] == 1
    assert normalisations == [((0.3,), (0.25,))]
