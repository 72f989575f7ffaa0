import numpy as np
import pytest
import torch

from kitlib.artefacts import Provenance
from kitlib.errors import ArtefactError, WeightsError
from kitlib.localise import network
from kitlib.localise.network import (
    GRID,
    INPUT_PX,
    PX_MM,
    build_network,
    heatmaps,
    load_networks,
    network_inputs,
    peaks,
    plane2landmarks,
    save_networks,
)
from kitlib.mri.stack import Plane

WIDTHS = (4, 6, 8)


def dotted(shape: tuple[int, int], x: int, y: int) -> torch.Tensor:
    """An image with a bright square of 5 x 5 pixels about (x, y)."""
    image = torch.zeros(1, *shape)
    image[0, y - 2 : y + 3, x - 2 : x + 3] = 700
    return image


def logits_at(places: list[tuple[float, float]], absent: float = 0.0) -> torch.Tensor:
    """Logits (1, C, pixels + 1) with a narrow peak at each place (x, y) in pixels."""
    pixels = torch.arange(GRID)
    maps = [-((pixels[:, None] - y) ** 2 + (pixels - x) ** 2).flatten() for x, y in places]
    return torch.stack([torch.cat([one, torch.tensor([absent])]) for one in maps])[None].float()


def test_sagittal_and_axial_channels_are_those_of_the_twins() -> None:
    assert len(plane2landmarks["sagittal"]) == 12
    assert [one.side for one in plane2landmarks["axial"]] == ["left", "right"]


@pytest.mark.parametrize("plane", plane2landmarks)
def test_a_batch_of_one_equals_a_batch_of_many(plane: Plane) -> None:
    net = build_network(plane, WIDTHS).eval()
    images = torch.rand(3, 2, INPUT_PX, INPUT_PX)
    with torch.inference_mode():
        many, one = net(images), net(images[1:2])
    assert many.shape == (3, len(plane2landmarks[plane]), GRID * GRID + 1)
    torch.testing.assert_close(many[1:2], one, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(400, 300), (150, 420), (90, 90)])
def test_a_bright_dot_comes_back_to_where_it_was(shape: tuple[int, int]) -> None:
    x, y = shape[1] // 2 + 20, shape[0] // 2 - 30
    inputs, resampling = network_inputs(dotted(shape, x, y), (0.9, 1.1), PX_MM["sagittal"])
    seen = inputs[0, 0] - inputs[0, 0].min()
    at = np.indices(seen.shape).reshape(2, -1)[::-1] @ (seen**4).numpy().ravel() / float((seen**4).sum())
    assert inputs.shape == (1, 2, INPUT_PX, INPUT_PX)
    np.testing.assert_allclose(resampling.to_native(at), [x, y], atol=0.5)


def test_network_and_native_pixels_are_inverse() -> None:
    _, resampling = network_inputs(torch.rand(1, 333, 210), (0.61, 0.72), 0.8)
    places = np.random.default_rng(0).uniform(0, 190, (7, 2))
    np.testing.assert_allclose(resampling.to_network(resampling.to_native(places)), places)


def test_grey_scale_and_inputs_do_not_matter_and_stay_as_they_are() -> None:
    image = torch.rand(2, 120, 120)
    before = image.clone()
    plain, _ = network_inputs(image, (2.0, 2.0), 1.8)
    scaled, _ = network_inputs(image * 3000 + 200, (2.0, 2.0), 1.8)
    torch.testing.assert_close(plain, scaled, atol=1e-3, rtol=0)
    assert torch.equal(image, before)


@pytest.mark.parametrize("value", [0.0, 7.0, float("nan")])
def test_constant_and_undefined_images_give_finite_inputs(value: float) -> None:
    inputs, _ = network_inputs(torch.full((1, 60, 80), value), (1.0, 1.0), 1.8)
    assert torch.isfinite(inputs).all()


def test_cells_and_absence_share_one_probability() -> None:
    shares, visible = heatmaps(torch.randn(2, 3, GRID * GRID + 1))
    assert shares.shape == (2, 3, GRID, GRID)
    torch.testing.assert_close(shares.sum(dim=(2, 3)), visible)


def test_peaks_are_means_between_cells_in_network_pixels() -> None:
    places, visible = peaks(logits_at([(20.3, 40.6), (0.0, 95.0)], absent=-30))
    np.testing.assert_allclose(places[0, 0], [20.3 * 2 + 0.5, 40.6 * 2 + 0.5], atol=0.1)
    assert (visible > 0.999).all()
    _, hidden = peaks(logits_at([(20, 40)], absent=30))
    assert (hidden < 1e-3).all()


def test_networks_come_back_with_their_temperatures(tmp_path) -> None:
    nets = {plane: build_network(plane, WIDTHS).eval() for plane in plane2landmarks}
    nets["axial"].temperature[:] = 1.5
    save_networks(tmp_path / "nets.safetensors", nets, Provenance(), command="train")
    loaded = load_networks(tmp_path / "nets.safetensors")
    images = torch.rand(1, 2, INPUT_PX, INPUT_PX)
    assert list(loaded) == list(nets)
    for plane, net in nets.items():
        assert not loaded[plane].training
        with torch.inference_mode():
            torch.testing.assert_close(loaded[plane](images), net(images), atol=0.05, rtol=0.05)


def test_a_network_of_other_widths_does_not_fit(tmp_path, monkeypatch) -> None:
    file = tmp_path / "nets.safetensors"
    save_networks(file, {"axial": build_network("axial", WIDTHS)}, Provenance())
    monkeypatch.setattr(network, "facts_of", lambda _: {"widths": {"axial": [4, 8, 8]}})
    with pytest.raises(WeightsError, match="axial network does not fit"):
        load_networks(file)


def test_missing_weights_say_so(tmp_path) -> None:
    with pytest.raises(ArtefactError):
        load_networks(tmp_path / "none.safetensors")
