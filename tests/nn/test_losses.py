import numpy as np
import pytest
import torch

from kitlib.competition.metric import score_arrays
from kitlib.nn.losses import LOSSES, Loss, binary_loss, metric_loss, weighted_binary_loss
from kitlib.terms import EMPTY
from tests.models.builders import make_labels

LABELS = torch.from_numpy(make_labels(16).astype(np.int64))
LOGITS = torch.from_numpy(np.random.default_rng(0).normal(size=(16, 25, 3)))


def test_the_loss_is_the_metric() -> None:
    expected = score_arrays(LABELS.numpy(), LOGITS.softmax(-1).numpy()).total
    np.testing.assert_allclose(float(metric_loss(LOGITS, LABELS)), expected, atol=1e-9)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 4)])
def test_binary_losses_are_those_of_each_class_against_the_others(weights: tuple[int, ...]) -> None:
    total, weight = 0.0, 0.0
    probabilities = LOGITS.softmax(-1).numpy()
    for label, three in zip(LABELS.numpy().ravel(), probabilities.reshape(-1, 3)):
        if label != EMPTY:
            is_class = np.arange(3) == label
            total -= weights[label] * np.log(np.where(is_class, three, 1 - three)).sum()
            weight += weights[label]
    loss = binary_loss if weights == (1, 1, 1) else weighted_binary_loss
    np.testing.assert_allclose(float(loss(LOGITS, LABELS)), total / weight, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_certainty_has_a_finite_loss_and_gradient(loss: Loss) -> None:
    certain = (LOGITS.float() * 1e4).requires_grad_()
    loss(certain, LABELS).backward()
    assert certain.grad is not None
    assert torch.isfinite(certain.grad).all()
