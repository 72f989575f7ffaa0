import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import facts_of, load_tensors
from kitlib.localise.network import GRID, build_network, load_networks, save_networks
from kitlib.localise.train.augment import seen
from kitlib.localise.train.heatmaps import (
    calibrate,
    cross_entropy,
    evaluate,
    mean_distance,
    train_localiser,
)
from kitlib.localise.train.samples import POOL_PX, Pool
from kitlib.nn.augment import Affine

WIDTHS = {"sagittal": (4, 6, 8), "axial": (4, 6, 8)}


def make_pool(count: int, channels: int, seed: int = 0) -> Pool:
    """Noise slices with bright dots at their places; the last channel is unknown."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(60, 130, (count, channels, 2)).astype(np.float32)
    images = rng.integers(0, 60, (count, POOL_PX, POOL_PX), dtype=np.uint8)
    for image, dots in zip(images, places.round().astype(int)):
        for x, y in dots:
            image[y - 2 : y + 3, x - 2 : x + 3] = 255
    visibility = np.ones((count, channels), np.float32)
    visibility[:, -1] = np.nan
    spacing = np.full((count, 2), 1.5, np.float32)
    return Pool(images, spacing, places, visibility, np.arange(count) // 2)


def certain(places: torch.Tensor) -> torch.Tensor:
    """Confident logits at places (B, C, 2) in network pixels."""
    cells = torch.arange(GRID)
    x, y = ((places - 0.5) / 2).unbind(-1)
    away = (cells[:, None] - y[..., None, None]) ** 2 + (cells - x[..., None, None]) ** 2
    return torch.cat([-(away.flatten(2)), torch.full((*x.shape, 1), -50.0)], dim=-1)


def test_cross_entropy_and_distance_are_least_at_the_place() -> None:
    places = torch.tensor([[[60.0, 100.0]]])
    shown = torch.ones(1, 1)
    right, wrong = certain(places), certain(places + 8)
    assert cross_entropy(right, places, shown) < cross_entropy(wrong, places, shown)
    assert mean_distance(right, places).item() == pytest.approx(0, abs=0.1)
    assert mean_distance(wrong, places).item() == pytest.approx(8, abs=0.2)
    assert cross_entropy(right, places, 1 - shown) > 40


def test_training_is_repeatable_and_keeps_its_metrics(tmp_path: Path) -> None:
    samples = {"sagittal": make_pool(10, 12), "axial": make_pool(10, 2)}
    metrics = [
        train_localiser(tmp_path / name, samples, epochs=1, widths=WIDTHS, seed=5, command="train")
        for name in ("one", "two")
    ]
    one, two = (load_tensors(tmp_path / name) for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert metrics[0] == metrics[1]
    facts = facts_of(tmp_path / "one")
    assert facts["metrics"]["axial"]["recess"] == pytest.approx(metrics[0]["axial"]["recess"], nan_ok=True)
    assert facts["command"] == "train"
    assert set(facts["temperatures"]) == set(load_networks(tmp_path / "one")) == {"sagittal", "axial"}


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(tmp_path: Path, monkeypatch) -> None:
    samples = {"sagittal": make_pool(10, 12), "axial": make_pool(10, 2)}
    train_localiser(tmp_path / "whole", samples, epochs=2, widths=WIDTHS, seed=5)
    saved = []

    def kill_at_the_third(*args, **facts) -> None:
        saved.append(args)
        if len(saved) == 3:  # the first epoch of the second network
            raise KeyboardInterrupt
        save_networks(*args, **facts)

    monkeypatch.setattr("kitlib.localise.train.heatmaps.save_networks", kill_at_the_third)
    for _ in range(2):
        with contextlib.suppress(KeyboardInterrupt):
            train_localiser(tmp_path / "killed", samples, epochs=2, widths=WIDTHS, seed=5)
    whole, killed = (load_tensors(tmp_path / name) for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert facts_of(tmp_path / "whole") == facts_of(tmp_path / "killed")
    assert len(saved) == 6  # the finished network and the resumed epoch are saved once more
    assert not list(tmp_path.glob("*unfinished*"))


def test_training_goes_on_from_other_weights(tmp_path: Path) -> None:
    samples = {"axial": make_pool(6, 2)}
    train_localiser(tmp_path / "a", {"sagittal": make_pool(6, 12), **samples}, epochs=1, widths=WIDTHS)
    train_localiser(tmp_path / "b", samples, epochs=1, start=tmp_path / "a")
    before, after = (load_tensors(tmp_path / name) for name in "ab")
    assert torch.equal(before["sagittal.place.weight"], after["sagittal.place.weight"])
    assert not torch.equal(before["axial.place.weight"], after["axial.place.weight"])


def test_a_sure_network_is_measured_as_such_and_cooled(monkeypatch) -> None:
    pool = make_pool(6, 2)
    net = build_network("axial", WIDTHS["axial"]).eval()

    def perfect(_net, _kind, pool):
        batch = seen("axial", pool, Affine.identity(len(pool)))
        yield batch, certain(batch.places) / 4

    monkeypatch.setattr("kitlib.localise.train.heatmaps.predicted", perfect)
    measured = evaluate(net, "axial", pool)["recess"]
    assert measured["median_mm"] < 0.3
    assert measured["level_accuracy"] == 1
    calibrate(net, "axial", pool)
    assert (net.temperature < 1).all()
