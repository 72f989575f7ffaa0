from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from kitlib.errors import UsageError
from kitlib.models.attention import FusionModel
from kitlib.models.neural.batches import SequenceBatch, StudyTensors
from kitlib.models.neural.fusion import CascadeHead, EmbeddingCNN, SequenceEmbedding
from kitlib.terms import AXIAL_T2, SEQUENCES
from tests.models.builders import make_features, make_labels

LABELS = make_labels(16)
FEATURES = make_features(LABELS, missing={AXIAL_T2: [1]})
SETTINGS = [(architecture, head) for architecture in ("1.1", "1.2", "2") for head in ("softmax", "cascade")]


def make_model(epochs: int, **parameters: Any) -> FusionModel:
    """One network, trained on all studies for all epochs."""
    quick = {"members": 1, "inner_parts": 1, "width": 16, "learning_rate": 1e-2, **parameters}
    return FusionModel(epochs=epochs, **quick).fit(FEATURES, LABELS, seed=0)


@pytest.mark.parametrize(("architecture", "head"), SETTINGS)
def test_an_untrained_network_predicts_the_prior(architecture: str, head: str) -> None:
    model = make_model(0, architecture=architecture, head=head)
    np.testing.assert_allclose(model.predict(FEATURES), np.tile(model.prior, (16, 1, 1)), atol=1e-6)


def test_the_loss_of_a_cascade_is_that_of_its_two_questions() -> None:
    log_prior = torch.tensor([[0.7, 0.2, 0.1]]).log().repeat(25, 1)
    changes = torch.randn(4, 25, 2, generator=torch.Generator().manual_seed(0))
    log_probabilities = CascadeHead(log_prior)(changes)
    torch.testing.assert_close(log_probabilities.exp().sum(-1), torch.ones(4, 25))
    start = torch.tensor([np.log(0.3 / 0.7), np.log(0.1 / 0.2)]).float()
    degenerated, severe = (changes + start).sigmoid().unbind(-1)
    first = torch.stack([1 - degenerated, degenerated, degenerated]).log()
    second = torch.stack([torch.ones_like(severe), 1 - severe, severe]).log()
    torch.testing.assert_close(log_probabilities, (first + second).movedim(0, -1))


def test_a_missing_sequence_is_its_token_and_not_an_image_of_zeros() -> None:
    embed = SequenceEmbedding(6, 8, queries=2)
    vectors, positions = torch.zeros(1, 2, 6), torch.zeros(1, 2, 3)
    zeros, missing = (
        SequenceBatch(vectors, positions, torch.full((1, 2), present)) for present in (True, False)
    )
    torch.testing.assert_close(embed(missing)[0], embed.absent)
    assert not torch.allclose(embed(zeros), embed(missing))


@pytest.mark.parametrize("architecture", ["1.1", "1.2", "2"])
def test_the_token_of_a_missing_sequence_and_attention_are_trained(architecture: str) -> None:
    before, after = (make_model(epochs, architecture=architecture, view_dropout=0.5) for epochs in (0, 2))
    moved = {
        name
        for (name, old), new in zip(
            before.fitted.networks[0].named_parameters(), after.fitted.networks[0].parameters()
        )
        if not torch.equal(old, new)
    }
    for sequence in range(len(SEQUENCES)):
        assert f"sequences.{sequence}.weigh.query.weight" in moved
        assert architecture == "2" or f"sequences.{sequence}.absent" in moved


def test_architecture_2_averages_over_the_sequences_present() -> None:
    model = make_model(3, architecture="2")
    network = model.fitted.networks[0]
    batches = StudyTensors(FEATURES, model.fitted.reduction).batch([0])
    gone = [replace(batch, present=batch.present & False) for batch in batches]

    def change(kept: tuple[int, ...]) -> torch.Tensor:
        seen = [batch if index in kept else none for index, (batch, none) in enumerate(zip(batches, gone))]
        return network(seen) - network(gone)

    alone = torch.stack([change((index,)) for index in range(3)])
    trust = network.trust.softmax(0)[:, None, :, None]  # type: ignore[operator]
    torch.testing.assert_close(change((0, 1, 2)), (alone * trust).sum(0), atol=1e-5, rtol=1e-4)
    assert (network(gone) == network.head.start).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("architecture", ["1.1", "1.2", "2"])
def test_attention_has_a_row_for_every_cell(architecture: str) -> None:
    attention = make_model(1, architecture=architecture).attention(FEATURES)
    assert [weights.shape for weights in attention[0].values()] == [(25, 9), (25, 9), (25, 15)]
    for weights in attention[0].values():
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    assert attention[1][AXIAL_T2].shape == (25, 0)


@pytest.mark.parametrize("width", [4, 16, 512])
def test_the_cnn_makes_one_vector_of_embeddings_of_any_width(width: int) -> None:
    cnn = EmbeddingCNN(3)
    assert cnn(torch.randn(2, 3, width)).shape == (2, EmbeddingCNN.width)


@pytest.mark.parametrize("parameters", [{"architecture": "3"}, {"head": "sigmoid"}, {"loss": "focal"}])
def test_unknown_choices_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="unknown fusion"):
        FusionModel(**parameters)  # type: ignore[arg-type]
