import numpy as np
import pytest
import torch

from kitlib.embed.backbone import load_backbone
from kitlib.embed.slices import Backbone

NAMES = ["test_resnet", "torchvision/mobilenet_v3_small"]


@pytest.fixture(scope="module", params=NAMES)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return load_backbone(request.param, weights="random", input_px=64)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_vector_for_each_slice_whatever_its_size(backbone: Backbone) -> None:
    for shape in [(3, 64, 64), (2, 100, 30), (1, 1, 1), (0, 64, 64)]:
        vectors = backbone.embed(noise(*shape))
        assert vectors.shape == (shape[0], backbone.width)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()


def test_a_batch_of_one_is_its_row_in_a_batch_of_many(backbone: Backbone) -> None:
    slices = noise(5, 64, 64)
    before = slices.copy()
    many = backbone.embed(slices)
    one = np.concatenate([backbone.embed(slices[[row]]) for row in range(5)])
    assert many == pytest.approx(one, abs=0.02 * float(abs(many).max()))  # bfloat16 keeps 8 bits
    assert np.array_equal(slices, before)


@pytest.mark.slow
def test_random_weights_are_the_same_each_time_whatever_was_drawn_before() -> None:
    slices = noise(2, 32, 32)
    first, second = (
        load_backbone(NAMES[0], weights="random", input_px=32).embed(slices)
        for _ in map(torch.manual_seed, (1, 2))
    )
    assert np.array_equal(first, second)
