import pytest
import torch
import torch.nn.functional as F

from kitlib.nn.augment import Affine, Greys, Moves, Warp, moved

IMAGES = torch.rand(6, 2, 24, 24, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1
IMAGES[..., :4] = 0.0


def lots(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_identity_changes_nothing() -> None:
    torch.testing.assert_close(moved(IMAGES, Affine.identity(6)), IMAGES, atol=1e-5, rtol=0)
    torch.testing.assert_close(Greys().change(IMAGES, lots()), IMAGES)


def test_a_mirrored_image_is_flipped_and_twice_is_nothing() -> None:
    chosen = torch.tensor([True, False] * 3)
    affine = Moves().draw(6, lots(), chosen)
    once = moved(IMAGES, affine)
    assert torch.equal(affine.mirrored, chosen)
    torch.testing.assert_close(once[chosen], IMAGES[chosen].flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(once[~chosen], IMAGES[~chosen], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved(once, affine), IMAGES, atol=1e-5, rtol=0)


def test_a_shift_counts_in_halves_of_a_side() -> None:
    quarter = Affine(Affine.identity(6).matrices, torch.tensor([[0.5, 0.0]]).double().repeat(6, 1))
    torch.testing.assert_close(moved(IMAGES, quarter)[..., :18], IMAGES[..., 6:], atol=1e-5, rtol=0)


def test_a_part_of_an_image_is_seen_by_scaling() -> None:
    half = Affine.identity(6).scaled(0.5)
    torch.testing.assert_close(moved(IMAGES, half, size=(12, 12)), IMAGES[..., 6:18, 6:18], atol=1e-5, rtol=0)


def test_moves_are_as_large_as_asked() -> None:
    turned = Moves(turn_deg=5.0).draw(4000, lots())
    angles = torch.rad2deg(torch.atan2(turned.matrices[:, 1, 0], turned.matrices[:, 0, 0]))
    assert float(angles.std()) == pytest.approx(5, rel=0.05)
    scaled = torch.linalg.det(Moves(log_scale=0.2).draw(4000, lots()).matrices).sqrt().log()
    assert 0.19 < float(scaled.abs().max()) <= 0.2
    stretched = Moves(log_stretch=0.1).draw(4000, lots()).matrices
    torch.testing.assert_close(torch.linalg.det(stretched), torch.ones(4000).double())
    assert float(stretched[:, 0, 0].log().std()) == pytest.approx(0.1, rel=0.05)
    assert float(Moves(shift=0.3).draw(4000, lots()).shifts.std()) == pytest.approx(0.3, rel=0.05)


STRONG = {
    "inverted_rate": 1.0,
    "log_gamma": 0.5,
    "log_gain": 0.3,
    "log_bias": 0.5,
    "offset": 0.1,
    "noise": 0.1,
}


@pytest.mark.parametrize("name", STRONG)
def test_greys_change_within_their_range_and_black_stays_black(name: str) -> None:
    before = IMAGES.clone()
    changed = Greys(**{name: STRONG[name]}).change(IMAGES, lots())
    assert torch.equal(IMAGES, before)
    assert not torch.allclose(changed, IMAGES, atol=1e-3)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert (changed[..., :4] == 0).all()
    assert torch.equal(changed, Greys(**{name: STRONG[name]}).change(IMAGES, lots()))
    assert (
        not torch.equal(changed, Greys(**{name: STRONG[name]}).change(IMAGES, lots(1)))
        or name == "inverted_rate"
    )


@pytest.mark.parametrize("name", [name for name in STRONG if name != "noise"])
def test_channels_of_an_image_change_alike(name: str) -> None:
    same = IMAGES[:, :1].repeat(1, 2, 1, 1)
    changed = Greys(**{name: STRONG[name]}).change(same, lots())
    torch.testing.assert_close(changed[:, 0], changed[:, 1])


def test_inversion_turns_light_into_dark() -> None:
    inverted = Greys(inverted_rate=1.0).change(IMAGES, lots())
    torch.testing.assert_close(inverted[..., 4:], 1 - IMAGES[..., 4:])


def test_a_warp_of_no_strength_changes_nothing() -> None:
    warp = Warp.draw(6, lots(), nodes=4, largest=0.0)
    torch.testing.assert_close(moved(IMAGES, Affine.identity(6), warp), IMAGES, atol=1e-5, rtol=0)


def test_points_are_found_where_a_warp_and_an_affine_put_what_they_mark() -> None:
    side, count = 64, 5
    steps = (2 * torch.arange(side, dtype=torch.float64) + 1) / side - 1
    here = torch.stack(torch.meshgrid(steps, steps, indexing="xy")).repeat(count, 1, 1, 1)  # the place itself
    affine = Moves(turn_deg=10.0, log_scale=0.1, shift=0.05).draw(count, lots())
    warp = Warp.draw(count, lots(1), nodes=5, largest=0.08)
    places = torch.rand(count, 7, 2, generator=lots(2), dtype=torch.float64) - 0.5
    before = torch.einsum("nij,ncj->nci", torch.linalg.inv(affine.matrices), places - affine.shifts[:, None])
    found = warp.found(before, (side, side))
    assert (found - before).norm(dim=-1).max() > 0.05
    image = moved(here, affine, warp)
    shown = F.grid_sample(image, found[:, None], align_corners=False)[:, :, 0].transpose(1, 2)
    torch.testing.assert_close(shown, places, atol=2e-3, rtol=0)


def test_warps_are_at_most_as_strong_as_asked_and_are_drawn_again() -> None:
    warp, again, other = (Warp.draw(2000, lots(seed), nodes=6, largest=0.1) for seed in (0, 0, 1))
    assert torch.equal(warp.nodes, again.nodes)
    assert not torch.equal(warp.nodes, other.nodes)
    assert 0.09 < warp.nodes.flatten(1).std(dim=1).quantile(0.95) < 0.12
    assert warp.nodes.flatten(1).std(dim=1).quantile(0.05) < 0.01
