import numpy as np

from kitlib.phantom.body.sacrum import BODIES, REMNANT_MM, Sacrum, draw_sacrum


def sacra(count: int = 1000) -> list[Sacrum]:
    return [draw_sacrum(np.random.default_rng(seed)) for seed in range(count)]


def test_the_seed_decides() -> None:
    one, again, other = (draw_sacrum(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.remnant_mm, again.remnant_mm)
    assert not np.array_equal(one.remnant_mm, other.remnant_mm)


def test_remnants_are_anything_from_fused_to_well_formed_and_less_below() -> None:
    heights_mm = np.array([sacrum.remnant_mm for sacrum in sacra()])
    assert heights_mm.shape[1] == BODIES - 1
    assert (np.diff(heights_mm, axis=1) > 0).mean() > 0.9
    low, high = np.quantile(heights_mm[:, -1], (0.05, 0.95))
    assert low < 1.3
    assert 5.5 < high <= REMNANT_MM


def test_what_is_left_of_a_disc_stays_within_its_bodies_and_its_signal_within_that_of_discs() -> None:
    for sacrum in sacra():
        assert (sacrum.extent > 0).all()
        assert (sacrum.extent <= 1).all()
        assert (sacrum.water >= 0).all()
        assert (sacrum.water <= 1).all()


def test_shapes_scatter_around_the_typical_one() -> None:
    drawn = sacra()
    for name, typical in (("depth", 1.0), ("height", 1.0), ("taper", 0.0), ("wedge", 0.0)):
        values = np.array([getattr(sacrum, name) for sacrum in drawn])
        assert np.allclose(values.mean(axis=0), typical, atol=0.02), name
        assert (values.std(axis=0) > 0.02).all(), name
