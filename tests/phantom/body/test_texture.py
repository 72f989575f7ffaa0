import numpy as np
import torch

from kitlib.phantom.body.texture import SOLID, Texture, draw_texture


def drawn(seed: int = 0) -> Texture:
    return draw_texture(np.random.default_rng(seed))


def test_the_same_lots_give_the_same_texture() -> None:
    assert (drawn().solid == drawn().solid).all()
    assert (drawn().sheet == drawn().sheet).all()
    assert (drawn().solid != drawn(1).solid).any()


def test_a_node_gives_its_own_value_and_the_lattice_is_mirrored_beyond_its_ends() -> None:
    texture, cell_mm = drawn(), (13.0, 2.0, 3.0)
    ends_mm = [torch.tensor([cell * (size - 1) / 2]) for cell, size in zip(cell_mm, SOLID)]
    corner = texture.at(cell_mm, *ends_mm)
    assert np.allclose([float(value) for value in corner], texture.solid[:, -1, -1, -1], atol=1e-4)
    inside, beyond = (texture.at(cell_mm, *(end + off for end in ends_mm)) for off in (-1.5, 1.5))
    assert np.allclose(inside[0], beyond[0], atol=1e-3)


def test_patches_are_larger_than_the_fine_noise_and_both_have_unit_variance() -> None:
    for lattice in (drawn().solid, drawn().sheet):
        assert np.allclose(lattice.std(axis=tuple(range(1, lattice.ndim))), 1, atol=1e-3)
        steps = np.abs(np.diff(lattice, axis=-1)).mean(axis=tuple(range(1, lattice.ndim)))
        assert steps[0] > 2.5 * steps[1]
