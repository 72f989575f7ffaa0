import pytest
import torch

from kitlib.nn.augment import Affine, Greys, Moves, moved

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
