"""3D networks: one volume per stack, tokens with positions, weights loaded strictly."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kitlib.embed.backbone import build_network, load_backbone
from kitlib.embed.engine import embed_series, study_tokens
from kitlib.embed.slices import Backbone
from kitlib.embed.store import TokenStore
from kitlib.embed.volumes import DEPTH, volume, volume_input
from kitlib.embed.weights.checkpoint import convert
from kitlib.embed.weights.sources import load_strictly
from kitlib.errors import ExtraMissingError, WeightsError
from kitlib.prepare.volumes import prepare
from tests.embed.builders import make_cache
from tests.prepare.builders import make_series, make_stack

NAME, PX = "medicalnet_resnet10", 64


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    pytest.importorskip("monai")
    return load_backbone(NAME, weights="random", input_px=PX)


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    pytest.importorskip("monai")
    return build_network(NAME)[0].state_dict()


def test_tokens_are_the_cells_of_the_feature_map(backbone: Backbone) -> None:
    (stack,) = prepare([make_stack()], PX)
    assert backbone.inputs(stack).shape == (1, DEPTH, PX, PX)
    tokens = study_tokens(backbone, [stack, stack])
    assert tokens.vectors.shape == (2 * 1 * 2 * 2, 512)
    assert np.isfinite(tokens.vectors).all()
    assert np.array_equal(tokens.vectors[:4], tokens.vectors[4:])


@pytest.mark.parametrize("field_of_view", ["whole", "middle"])
@pytest.mark.parametrize("plane", ["sagittal", "axial"])
def test_cells_lie_evenly_round_the_middle_of_what_is_seen(
    backbone: Backbone, field_of_view: str, plane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "field_of_view", field_of_view)
    stack = make_stack(plane, (6, 40, 40))
    positions_mm = backbone.positions_mm(stack)
    assert positions_mm.mean(axis=0) == pytest.approx(stack.to_patient(19.5, 19.5, 2.5))
    share = {"whole": 1, "middle": {"sagittal": 0.75, "axial": 0.5}[plane]}[field_of_view]
    step = np.abs(stack.to_pixel(positions_mm[1]) - stack.to_pixel(positions_mm[0]))
    assert step == pytest.approx([share * 20, 0, 0])  # two cells side by side
    assert np.abs(stack.to_pixel(positions_mm[2]) - stack.to_pixel(positions_mm[0])) == pytest.approx(
        [0, share * 20, 0]
    )


@pytest.mark.parametrize("slices", [1, 2, 23, 24, 60])
def test_any_number_of_slices_becomes_a_volume(slices: int) -> None:
    ramp = np.linspace(0, 200, slices).round().astype(np.uint8)[:, None, None] + np.zeros((1, 4, 4), np.uint8)
    resampled = volume(ramp)
    assert resampled.shape == (DEPTH, 4, 4)
    assert (np.diff(resampled[:, 0, 0].astype(int)) >= 0).all()
    assert resampled.mean() == pytest.approx(ramp.mean(), abs=1)
    if slices == DEPTH:
        assert np.array_equal(resampled, ramp)


def test_each_volume_is_scored_by_what_is_not_black_in_it() -> None:
    grey = torch.randint(1, 255, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    grey[:, :, :2] = 0
    scored = volume_input(torch.cat([grey, grey * 3]))
    body = scored[:, 0, :, 2:].flatten(1)
    assert scored.shape == (4, 1, 3, 8, 8)
    assert body.mean(1) == pytest.approx(torch.zeros(4), abs=1e-4)
    assert body.std(1, correction=0) == pytest.approx(torch.ones(4), abs=1e-3)
    assert not scored[:, 0, :, :2].any()
    assert torch.allclose(scored[:2], scored[2:], atol=1e-4)
    assert not volume_input(torch.zeros(1, 2, 4, 4)).any()
    assert not volume_input(torch.full((1, 2, 4, 4), 7)).any()


def test_what_is_odd_is_survived(backbone: Backbone) -> None:
    lone, empty = make_stack(shape=(1, 30, 20)), make_stack(shape=(3, 16, 16))
    lone.pixels[0, :9] = np.nan
    empty.pixels[:] = np.nan
    tokens = study_tokens(backbone, prepare([lone, empty], PX))
    assert len(tokens) == 8
    assert np.isfinite(tokens.vectors).all()
    assert np.isfinite(tokens.positions_mm).all()
    assert study_tokens(backbone, []).vectors.shape == (0, 512)


def test_stored_tokens_are_those_of_streaming(
    tmp_path: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = make_series(1)
    stacks = {
        10: [make_stack()],
        12: [make_stack("axial"), make_stack("axial", (2, 30, 30))],
    }  # 11 is unreadable
    cache = make_cache(tmp_path / "volumes", series, stacks, monkeypatch)
    store = TokenStore(tmp_path / "store", {}, backbone.width)
    keys = list(series[["study_id", "series_id"]].itertuples(index=False, name=None))
    embed_series(store, backbone, cache, keys, batch=2)
    for series_id, count in ((10, 4), (11, 0), (12, 8)):
        stored, streamed = (
            store.series_tokens(1, series_id),
            study_tokens(backbone, cache.stacks(1, series_id)),
        )
        assert len(stored) == len(streamed) == count
        assert np.array_equal(stored.positions_mm, streamed.positions_mm)
        assert np.allclose(stored.vectors, streamed.vectors, atol=0.02)
    bags = store.bags([1, 2], series)
    assert [[len(bag) for bag in of_sequence] for of_sequence in bags.values()] == [[4, 0], [0, 0], [8, 0]]


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("nesting", ["flat", "nested"])
def test_weights_in_the_published_format_load(
    tmp_path: Path, tensors: dict[str, torch.Tensor], legacy: bool, nesting: str
) -> None:
    published = {f"module.{name}": value for name, value in tensors.items()}
    content = {"state_dict": published, "epoch": 90} if nesting == "nested" else published
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    convert(tmp_path / "a.pth", tmp_path / "a.safetensors")
    network, head = build_network(NAME)
    load_strictly(network, tmp_path / "a.safetensors", head)
    assert all(torch.equal(value, tensors[name]) for name, value in network.state_dict().items())


def test_safetensors_may_be_wrapped_too(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(
        {f"module.{name}": value.clone() for name, value in tensors.items()}, tmp_path / "a.safetensors"
    )
    loaded = load_backbone(NAME, weights=str(tmp_path / "a.safetensors"), input_px=32)
    assert loaded.source.label == "path: a.safetensors"


@pytest.mark.parametrize("defect", ["missing", "unexpected", "2D"])
def test_any_key_that_does_not_fit_is_an_error(
    tmp_path: Path, tensors: dict[str, torch.Tensor], defect: str
) -> None:
    changed = {name: value.clone() for name, value in tensors.items()}
    if defect == "missing":
        del changed["layer4.0.conv1.weight"]
    elif defect == "unexpected":
        changed["fc.weight"] = torch.zeros(2, 512)
    else:  # as the seed's notebooks did: a 3D file for a 2D network
        changed["conv1.weight"] = torch.zeros(64, 3, 7, 7)
    save_file(changed, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"1 keys are missing|1 are not the model's|do not fit"):
        load_backbone(NAME, weights=str(tmp_path / "a.safetensors"), input_px=32)


def test_without_monai_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    with pytest.raises(ExtraMissingError, match=r'pip install "kitlib\[medicalnet\]"'):
        load_backbone(NAME, weights="random")


@pytest.mark.slow
@pytest.mark.parametrize("depth", [10, 18, 34, 50])
def test_every_depth_has_the_keys_of_its_architecture(depth: int) -> None:
    nets = pytest.importorskip("monai.networks.nets")
    bias, shortcut = nets.resnet.get_medicalnet_pretrained_resnet_args(depth)
    whole = getattr(nets, f"resnet{depth}")(
        spatial_dims=3, n_input_channels=1, feed_forward=False, conv1_t_stride=2,
        shortcut_type=shortcut, bias_downsample=bias,
    ).eval()  # fmt: skip
    network = build_network(f"medicalnet_resnet{depth}")[0].eval()
    assert list(network.state_dict()) == list(whole.state_dict())
    network.load_state_dict(whole.state_dict())
    with torch.inference_mode():
        images = torch.rand(1, 1, 16, 32, 32)
        assert torch.allclose(network(images).mean((2, 3, 4)), whole(images), atol=1e-4)
