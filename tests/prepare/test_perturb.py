"""Degraded images: not at all at strength zero, and otherwise as requested."""

import numpy as np
import pytest

from kitlib.errors import UsageError
from kitlib.prepare.perturb import GREY_STRENGTHS, worse

GREY = np.random.default_rng(0).random((30, 40)).astype(np.float32)
NONE = {"gamma": 1.0, "bias": 0.0, "inversion": 0.0, "coarseness": 1.0, "noise": 0.0}


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize("name", GREY_STRENGTHS)
def test_each_has_a_strength_that_changes_nothing_and_others_that_do(name: str) -> None:
    np.testing.assert_allclose(worse(GREY, name, NONE[name], rng()), GREY, atol=1e-6)
    for strength in set(GREY_STRENGTHS[name]) - {NONE[name]}:
        assert np.abs(worse(GREY, name, strength, rng()) - GREY).mean() > 0.02


def test_bias_brightens_the_back_and_noise_is_never_negative() -> None:
    flat = np.ones((20, 31))
    gain = worse(flat, "bias", 0.8, rng())
    np.testing.assert_allclose(gain[0, [0, 15, 30]], np.exp([-0.8, 0, 0.8]))
    noisy = worse(0 * flat, "noise", 0.1, rng())
    assert noisy.min() >= 0
    assert noisy.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.1)  # Rayleigh


def test_what_there_is_not_is_an_error() -> None:
    with pytest.raises(UsageError, match="Did you mean 'noise'"):
        worse(GREY, "noize", 0.1, rng())
