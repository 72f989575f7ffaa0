import numpy as np
import pytest
import torch

from kitlib.localise.network import PX_MM, network_inputs
from kitlib.localise.train.augment import draw_moves, draw_warp, seen
from kitlib.localise.train.samples import PLANES, POOL_PX, Pool
from kitlib.mri.stack import Plane
from kitlib.nn.augment import Affine, Moves


def dotted(count: int, channels: int, spacing_mm: tuple[float, float] = (1.3, 1.1)) -> Pool:
    """Slices with a bright dot at every channel's place."""
    rng = np.random.default_rng(0)
    places = rng.integers(70, 120, (count, channels, 2))
    images = np.full((count, POOL_PX, POOL_PX), 30, np.uint8)
    for image, dots in zip(images, places):
        for x, y in dots:
            image[y - 1 : y + 2, x - 1 : x + 2] = 255
    visibility = np.ones((count, channels), np.float32)
    spacing = np.tile(np.array(spacing_mm, np.float32), (count, 1))
    return Pool(images, spacing, places.astype(np.float32), visibility, np.arange(count))


@pytest.mark.parametrize("plane", PLANES)
def test_places_stay_on_what_they_mark(plane: Plane) -> None:
    pool = dotted(8, 2, (0.7, 0.6) if plane == "axial" else (1.3, 1.1))
    affine = draw_moves(plane, 8, torch.Generator().manual_seed(1))
    warp = draw_warp(plane, 8, torch.Generator().manual_seed(2))
    assert (warp is None) == (plane == "axial")
    batch = seen(plane, pool, affine, warp)
    assert affine.mirrored.any() == (plane == "axial")
    for image, places, visible in zip(batch.images[:, 0], batch.places, batch.visibility):
        for x, y in places[visible > 0].round().long():
            assert image[y - 1 : y + 2, x - 1 : x + 2].max() > image.median() + 0.3


def test_a_plain_view_is_what_is_seen_when_searching() -> None:
    pool = dotted(2, 1, (1.8, 1.8))
    batch = seen("sagittal", pool, Affine.identity(2))
    inputs, resampling = network_inputs(torch.from_numpy(pool.images), (1.8, 1.8), PX_MM["sagittal"])
    torch.testing.assert_close(batch.images, inputs, atol=0.02, rtol=0)
    np.testing.assert_allclose(resampling.to_native(batch.places.numpy()), pool.places, atol=1e-4)


def test_mirroring_exchanges_left_and_right() -> None:
    pool = dotted(1, 2)
    pool.visibility[0, 1] = 0
    flip = Moves().draw(1, torch.Generator(), torch.tensor([True]))
    plain, mirrored = seen("axial", pool, Affine.identity(1)), seen("axial", pool, flip)
    assert mirrored.visibility.tolist() == [[0, 1]]
    np.testing.assert_allclose(mirrored.places[0, 1, 0], 191 - plain.places[0, 0, 0], atol=1e-3)


def test_what_leaves_the_image_is_absent_and_what_is_unknown_stays_so() -> None:
    pool = dotted(1, 2)
    pool.places[0, 0] = -500
    pool.places[0, 1] = -500
    pool.visibility[0, 1] = np.nan
    visibility = seen("sagittal", pool, Affine.identity(1)).visibility[0]
    assert visibility[0] == 0
    assert visibility[1].isnan()


def test_greys_change_where_a_generator_is_given() -> None:
    pool = dotted(4, 2)
    plain, one, again = (
        seen("sagittal", pool, Affine.identity(4), greys=rng and torch.Generator().manual_seed(rng))
        for rng in (None, 2, 2)
    )
    assert torch.equal(one.images, again.images)
    assert not torch.allclose(one.images, plain.images, atol=0.05)
    assert torch.equal(one.places, plain.places)
