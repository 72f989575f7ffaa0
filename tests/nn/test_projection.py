import numpy as np
import pytest
import torch

from kitlib.nn.projection import TokenReduction, TokenScale, principal_axes, reduction_of

RNG = np.random.default_rng(0)
VECTORS = [(5 + RNG.normal(size=(40, 6)) * [9, 3, 1, 1, 1, 1]).astype(np.float32) for _ in range(2)]
NOTHING = np.zeros((0, 6), np.float32)


def test_axes_are_orthonormal_and_tell_the_most_of_the_variance() -> None:
    mean, axes, variances = principal_axes(VECTORS[0], 3, seed=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-5)
    reduced = (VECTORS[0] - mean) @ axes
    np.testing.assert_allclose(reduced.var(axis=0, ddof=1), variances, rtol=1e-4)
    assert (np.diff(variances) < 0).all()
    assert variances[0] > 0.9 * VECTORS[0].var(axis=0, ddof=1).max()


@pytest.mark.parametrize(
    ("vectors", "rank"), [(NOTHING, 0), (VECTORS[0][:1], 0), (np.ones((5, 6)), 0), (VECTORS[0][:3], 2)]
)
def test_few_vectors_have_few_axes_and_the_others_are_zeros(vectors: np.ndarray, rank: int) -> None:
    mean, axes, variances = principal_axes(vectors, 4, seed=0)
    assert axes.shape == (6, 4)
    assert len(variances) == rank
    assert (axes[:, rank:] == 0).all()
    np.testing.assert_allclose(mean, vectors.mean(axis=0) if len(vectors) else np.zeros(6))


def test_a_reduction_has_a_first_component_of_deviation_two() -> None:
    reduction = TokenReduction.fit([VECTORS[0], NOTHING], 3, seed=0)
    reduced = reduction.transform(0, VECTORS[0])
    assert reduced.shape == (40, 3)
    assert float(reduced[:, 0].std()) == pytest.approx(2, rel=1e-4)
    assert (reduction.transform(1, VECTORS[1]) == 0).all()
    assert reduction.transform(0, NOTHING).shape == (0, 3)


def test_a_scale_centres_each_dimension_and_has_one_deviation_for_all() -> None:
    scale = TokenScale.fit([VECTORS[0], NOTHING])
    scaled = scale.transform(0, VECTORS[0]).cpu()
    torch.testing.assert_close(scaled.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    assert float(scaled.square().mean()) == pytest.approx(1, rel=1e-4)
    assert scaled[:, 0].std() > 2 * scaled[:, 1].std()
    assert (scale.transform(1, VECTORS[1]) == 0).all()
    assert scale.transform(0, NOTHING).shape == (0, 6)


def test_grey_values_come_to_one() -> None:
    scale = TokenScale.grey_values(3, 4)
    assert scale.transform(2, np.array([[0, 51, 102, 255]], np.uint8)).cpu().tolist() == [
        pytest.approx([0, 0.2, 0.4, 1])
    ]


@pytest.mark.parametrize("fit", [TokenScale.fit, lambda vectors: TokenReduction.fit(vectors, 2, seed=0)])
def test_a_reduction_is_what_its_tensors_say(fit) -> None:
    reduction = fit(VECTORS)
    again = reduction_of(reduction.tensors())
    assert type(again) is type(reduction)
    torch.testing.assert_close(again.transform(1, VECTORS[1]), reduction.transform(1, VECTORS[1]))
