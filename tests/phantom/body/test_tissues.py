import numpy as np
import pytest
import torch

from kitlib.phantom.body.tissues import FIELDS_T, SOLID, WATER, Texture, Tissue, draw_texture, water_and_fat

DISCS = np.array([0.0, 0.5, 1.0])


def test_every_tissue_has_its_row_in_order() -> None:
    assert list(WATER) == list(Tissue)[: Tissue.NUCLEUS]


@pytest.mark.parametrize("field_t", FIELDS_T)
def test_densities_and_times_are_possible(field_t: float) -> None:
    spins = water_and_fat(DISCS, field_t)
    density, t1, t2 = np.moveaxis(spins, -1, 0)
    assert spins.shape == (2, Tissue.NUCLEUS + len(DISCS), 3)
    assert (density >= 0).all()
    assert (density.sum(axis=0) <= 1).all()
    assert (t1 >= t2).all()
    assert (t2 > 0).all()


def test_water_relaxes_slower_along_the_stronger_field_and_no_faster_across_the_weaker() -> None:
    low, high = (water_and_fat(DISCS, field_t)[0] for field_t in FIELDS_T)
    solid = [tissue for tissue in WATER if WATER[tissue][0] > 0 and tissue != Tissue.CSF]
    assert (high[solid, 1] > low[solid, 1]).all()
    assert (high[..., 0] == low[..., 0]).all()


def test_fat_is_where_fat_is() -> None:
    _, fat = water_and_fat(DISCS, 1.5)[..., 0]
    by_share = [Tissue.FAT, Tissue.MESENTERY, Tissue.MARROW, Tissue.OEDEMA, Tissue.MUSCLE]
    assert (np.diff(fat[by_share]) < 0).all()
    assert fat[Tissue.CSF] == fat[Tissue.CORD] == fat[Tissue.NUCLEUS] == 0


def test_a_person_has_marrow_of_their_own() -> None:
    lean, fatty = (water_and_fat(DISCS, 3.0, share) for share in (0.25, 0.65))
    marrow = np.stack([lean[:, Tissue.MARROW, 0], fatty[:, Tissue.MARROW, 0]])
    assert np.allclose(marrow[:, 1] / marrow.sum(axis=1), [0.25, 0.65])
    others = [tissue for tissue in WATER if tissue != Tissue.MARROW]
    assert (lean[:, others] == fatty[:, others]).all()


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
