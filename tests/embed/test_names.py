import pytest

from kitlib.embed.names import VOLUME_NETWORKS, reads_volumes


@pytest.mark.parametrize("name", VOLUME_NETWORKS)
def test_3d_networks_read_volumes(name: str) -> None:
    assert reads_volumes(name)


@pytest.mark.parametrize(
    "name", ["resnet10t", "torchvision/resnet18", "medicalnet_resnet11", "medicalnet", ""]
)
def test_all_other_names_read_slices(name: str) -> None:
    assert not reads_volumes(name)
