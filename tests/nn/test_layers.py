import pytest
import torch

from kitlib.nn.layers import GatedAttention, GatedWeights, linear_from_zero


def make_bags(lengths: list[int], longest: int, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(len(lengths), longest, width, generator=random)
    return vectors, torch.arange(longest)[None] < torch.tensor(lengths)[:, None]


def test_weights_of_present_slices_sum_to_one_and_absent_ones_weigh_nothing() -> None:
    vectors, present = make_bags([3, 5, 1], 5)
    weights = GatedWeights(6, 4, queries=2)(vectors, present)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2))
    assert (weights.transpose(1, 2)[~present] == 0).all()


def test_what_stands_at_absent_slices_does_not_matter() -> None:
    vectors, present = make_bags([3, 5], 5)
    attention = GatedAttention(6, 4)
    other = torch.where(present[..., None], vectors, 100.0)
    for ours, theirs in zip(attention(vectors, present), attention(other, present)):
        torch.testing.assert_close(ours, theirs)
    alone, _ = attention(vectors[:1, :3], present[:1, :3])
    torch.testing.assert_close(alone[0], attention(vectors, present)[0][0])


@pytest.mark.parametrize("longest", [0, 4])
def test_empty_bags_give_zeros_and_finite_gradients(longest: int) -> None:
    vectors, present = make_bags([0, longest], longest)
    vectors.requires_grad_()
    attention = GatedAttention(6, 4)
    pooled, weights = attention(vectors, present)
    assert pooled.shape == (2, 6)
    assert (pooled[0] == 0).all()
    assert (weights[0] == 0).all()
    pooled.square().sum().backward()
    gradients = [vectors.grad, *(parameter.grad for parameter in attention.parameters())]
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)


def test_attention_learns_which_slice_tells() -> None:
    """Each bag holds one marked slice, whose second value must be read among others with larger values."""
    random = torch.Generator().manual_seed(1)
    vectors = torch.randn(256, 8, 2, generator=random)
    marked = torch.randint(8, (256, 1), generator=random)
    vectors[..., 0] = torch.zeros(256, 8).scatter(1, marked, 3.0)
    wanted = vectors[..., 1].gather(1, marked)[:, 0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = GatedAttention(2, 8)
    optimiser = torch.optim.Adam(attention.parameters(), lr=0.05)
    for _ in range(100):
        pooled, weights = attention(vectors, torch.ones(256, 8, dtype=torch.bool))
        optimiser.zero_grad()
        (pooled[:, 1] - wanted).square().mean().backward()
        optimiser.step()
    assert float(weights.gather(1, marked).mean().detach()) > 0.8


def test_a_layer_from_zero_answers_zero_and_learns() -> None:
    layer = linear_from_zero(3, 2)
    output = layer(torch.ones(4, 3))
    assert (output == 0).all()
    output.sum().backward()
    assert (layer.weight.grad != 0).all()
