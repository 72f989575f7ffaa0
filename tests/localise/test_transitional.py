"""The lumbosacral junction network: its crops, its output, and how the localiser uses it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import Provenance, facts_of, load_tensors, parameters_of, save_tensors
from kitlib.errors import ArtefactError, WeightsError
from kitlib.localise import transitional as junction
from kitlib.localise.localiser import AMBIGUOUS, TRANSITIONAL, Localiser
from kitlib.localise.network import (
    build_network,
    load_networks,
    named_tensors,
    plane2landmarks,
    save_networks,
)
from kitlib.localise.sagittal import SURE
from kitlib.localise.train.transitional import calibrate, evaluate, seen, train_junction
from kitlib.localise.train.transitional_samples import (
    DRAWN_PX,
    SLICES,
    TRANSITIONAL_SHARE,
    TRANSITIONS,
    Bags,
    draw_bags,
    draw_person_with,
)
from kitlib.localise.transitional import (
    CROP_PX,
    CROP_PX_MM,
    LEAST_SLICES,
    NAME,
    REACH_MM,
    SHARE,
    JunctionNet,
    junction_crops,
    load_junction,
    transitional_chance,
)
from kitlib.terms import SAGITTAL_T1, SAGITTAL_T2
from tests.localise.fakes import NETWORKS, fake_reader, make_canal, make_places, make_sagittal, make_study

WIDTHS = (4, 6)
PLACES = make_places(make_canal())
L5_S1 = make_canal()["l5_s1"]
STUDY = make_study(
    {11: [make_sagittal()], 12: [make_sagittal(count=13, step_mm=5.0)]}, {11: SAGITTAL_T1, 12: SAGITTAL_T2}
)


def make_maps(stack, **how):
    return fake_reader(PLACES, **how)(None, stack, np.arange(len(stack)), "sagittal")


def certain(chance: float) -> JunctionNet:
    """A network with a constant output."""
    net = JunctionNet(WIDTHS).eval()
    torch.nn.init.zeros_(net.answer.weight)
    torch.nn.init.constant_(net.answer.bias, float(np.log(chance / (1 - chance))))
    return net


def make_bags(count: int, seed: int = 0) -> Bags:
    """Bags of noise, two per person; those of transitional persons are bright in the middle."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (count, SLICES, DRAWN_PX, DRAWN_PX), dtype=np.uint8)
    persons = np.arange(count) // 2
    kinds = persons % 2
    images[kinds > 0, :, 30:50, 30:50] = 255
    return Bags(images, kinds, persons)


def test_slices_of_a_bag_have_one_say_each_whatever_their_order() -> None:
    net, crops = JunctionNet(WIDTHS).eval(), torch.randn(2, 5, 2, CROP_PX, CROP_PX)
    with torch.inference_mode():
        logits, each = net(crops), net.slice_logits(crops)
        turned, lone = net(crops[:, [3, 1, 4, 0, 2]]), net(crops[1:])
    assert logits.shape == (2,)
    torch.testing.assert_close(logits, each.mean(dim=1))
    torch.testing.assert_close(logits, turned, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits[1:], lone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spacing_mm", [0.6, 1.1])
def test_a_crop_has_the_place_in_its_middle_and_its_size_in_millimetres(spacing_mm) -> None:
    stack = make_sagittal(count=3, px=(512, 480), spacing_mm=spacing_mm, middle=L5_S1)
    stack.pixels[:] = np.random.default_rng(0).random(stack.pixels.shape) * 0.1
    for way_mm, at in (((0, 0, 0), (31.5, 31.5)), ((0, 36, 0), (31.5, 51.5)), ((0, 0, -36), (51.5, 31.5))):
        col, row, _ = np.round(stack.to_pixel(L5_S1 + np.array(way_mm))).astype(int)
        half = round(7.0 / spacing_mm)
        dotted = replace(stack, pixels=stack.pixels.copy())
        dotted.pixels[:, row - half : row + half + 1, col - half : col + half + 1] = 1.0
        crops = junction_crops(make_maps(dotted), L5_S1)
        found = np.argwhere(crops[0, 0].numpy() > 0.45).mean(axis=0)
        assert np.abs(found - at).max() <= 1.0
    assert abs(CROP_PX * CROP_PX_MM - 115) < 1


def test_crops_are_of_the_slices_beside_the_place_and_black_beyond_the_image() -> None:
    stack = make_sagittal(count=21, step_mm=4.0)
    stack.pixels[:] = np.random.default_rng(0).random(stack.pixels.shape) + 1
    crops = junction_crops(make_maps(stack), L5_S1)
    near = np.abs(stack.positions_mm - L5_S1[0]) <= REACH_MM
    assert crops.shape == (near.sum(), 2, CROP_PX, CROP_PX)
    low = stack.to_patient(120, 253, 10)  # three rows above the image's end
    assert (junction_crops(make_maps(stack), low)[:, 0, 40:] == -0.5).all()


@pytest.mark.parametrize("way_mm", [(80.0, 0, 0), (0, 0, -400.0), (0, 500.0, 0)])
def test_a_place_that_no_slice_shows_has_no_crops_and_no_answer(way_mm) -> None:
    maps, place = make_maps(make_sagittal()), L5_S1 + np.array(way_mm)
    assert junction_crops(maps, place) is None
    assert transitional_chance(certain(0.5), [maps], place) is None


def test_the_chance_is_that_of_the_mean_logit_of_the_series() -> None:
    maps = [make_maps(series.stacks[0]) for series in STUDY.series]
    assert transitional_chance(certain(0.3), maps, L5_S1) == pytest.approx(0.3, abs=1e-5)
    assert transitional_chance(certain(0.3), maps[:1], L5_S1) == pytest.approx(0.3, abs=1e-5)
    few = make_maps(make_sagittal(count=LEAST_SLICES - 1))
    assert transitional_chance(certain(0.3), [few], L5_S1) is None


@pytest.mark.parametrize("chance", [0.02, 0.6])
def test_a_likely_transitional_spine_is_abstained_from_and_says_so(chance) -> None:
    plain = Localiser(NETWORKS, read=fake_reader(PLACES)).locate_study(STUDY)
    looked = Localiser(NETWORKS, read=fake_reader(PLACES), junction=certain(chance))
    located = looked.locate_study(STUDY)
    assert not plain.abstained
    assert located.reason == (TRANSITIONAL if 1 - chance / 2 < SURE else None)
    assert located.abstained == (located.reason is not None)
    for one, other in zip(plain.points, located.points, strict=True):
        assert one.landmark == other.landmark
        assert other.confidence == pytest.approx(one.confidence * (1 - chance / 2), rel=1e-3)


def test_where_the_lower_points_are_not_seen_nobody_asks_the_junction() -> None:
    for hidden, reason in ((("s1_s2",), None), (("l5_s1", "s1_s2"), AMBIGUOUS)):
        seen_ones = {one: place for one, place in PLACES.items() if one.level not in hidden}
        looked = Localiser(NETWORKS, read=fake_reader(seen_ones), junction=certain(0.9))
        assert looked.locate_study(STUDY).reason == reason


@pytest.mark.slow
def test_a_person_is_drawn_as_asked_and_the_same_again() -> None:
    rng = np.random.default_rng(5)
    assert not draw_person_with(False, rng).spine.transitional
    assert draw_person_with(True, rng).spine.transitional in TRANSITIONS[1:]
    one, two = (draw_bags(3, seed=1) for _ in range(2))
    assert one.images.shape[1:] == (SLICES, DRAWN_PX, DRAWN_PX)
    assert len(set(one.kinds)) == 1
    np.testing.assert_array_equal(one.images, two.images)


def test_what_is_seen_at_random_is_what_is_seen_a_little_moved() -> None:
    images = np.zeros((64, 2, DRAWN_PX, DRAWN_PX), np.uint8)
    images[:, :, 36:44, 36:44] = 255
    plain, moved = seen(images[:1]), seen(images, torch.Generator().manual_seed(0))
    assert plain.shape[1:] == moved.shape[1:] == (2, 2, CROP_PX, CROP_PX)
    mean = moved[:, :, 0].mean(dim=(0, 1))
    row, col = np.unravel_index(int(mean.argmax()), mean.shape)
    assert max(abs(row - 31.5), abs(col - 31.5)) < 4
    assert not torch.allclose(moved[0], moved[1])


@pytest.mark.slow
def test_the_junction_is_learnt_and_added_to_weights_that_stay_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "nets.safetensors"
    nets = {plane: build_network(plane, (4, 6, 8)) for plane in plane2landmarks}
    save_networks(file, nets, Provenance({"epochs": 2}), metrics={"axial": {}}, command="x")
    before = load_tensors(file)
    assert load_junction(file) is None
    metrics = train_junction(file, make_bags(120), epochs=8, seed=3)
    after, facts = load_tensors(file), facts_of(file)
    assert metrics["auc"] > 0.9
    assert all(torch.equal(after[name], one) for name, one in before.items())
    assert facts["metrics"] == {"axial": {}, NAME: metrics}
    assert facts["command"] == "x"
    assert parameters_of(file) == {"epochs": 2}
    assert list(load_networks(file)) == list(nets)
    net = load_junction(file)
    assert torch.equal(net.stem[0].weight, nets["sagittal"].stem[0].weight.half().float())
    assert evaluate(net, make_bags(20, seed=9))["auc"] > 0.9


def test_a_junction_of_other_widths_does_not_fit(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "nets.safetensors"
    save_tensors(file, named_tensors(NAME, JunctionNet(WIDTHS)), Provenance(), widths={NAME: list(WIDTHS)})
    assert load_junction(file) is not None
    monkeypatch.setattr(junction, "facts_of", lambda _: {"widths": {NAME: [4, 8]}})
    with pytest.raises(WeightsError, match="junction network does not fit"):
        load_junction(file)
    with pytest.raises(ArtefactError):
        load_junction(tmp_path / "none.safetensors")


def test_calibration_cools_what_is_too_sure_and_knows_how_rare_transitions_are() -> None:
    bags, net = make_bags(40), certain(0.99)
    calibrate(net, bags)
    assert net.temperature > 2
    said = np.log(0.99 / 0.01) / net.temperature.item()
    rarer = np.log(SHARE / (1 - SHARE)) - np.log(TRANSITIONAL_SHARE / (1 - TRANSITIONAL_SHARE))
    assert net(seen(bags.images[:1])).item() == pytest.approx(said + rarer, abs=1e-3)
