import numpy as np
import torch

from kitlib.machine import device
from kitlib.models.neural.batches import SequenceBatch, StudyTensors, fit_reduction
from kitlib.models.neural.members import predict_logits, validation
from kitlib.nn.losses import metric_loss
from kitlib.terms import EMPTY
from tests.models.builders import make_features, make_labels

LABELS = make_labels(70)
FEATURES = make_features(LABELS)
TENSORS = StudyTensors(FEATURES, fit_reduction(FEATURES, 3, seed=0))


class Brightness(torch.nn.Module):
    """Logits that tell one study from another."""

    def forward(self, sequences: list[SequenceBatch]) -> torch.Tensor:
        return sequences[0].vectors.sum((1, 2))[:, None, None].expand(-1, 25, 3) * torch.arange(
            3, device=device()
        )


def test_more_studies_than_fit_at_once_are_predicted_in_order() -> None:
    logits = predict_logits(Brightness(), TENSORS, np.arange(70))
    alone = torch.cat([predict_logits(Brightness(), TENSORS, np.array([row])) for row in range(70)])
    torch.testing.assert_close(logits, alone)


def test_validation_is_the_loss_on_the_studies_held_out() -> None:
    held_out = np.array([3, 60, 8])
    judge = validation(TENSORS, LABELS, held_out)
    assert judge is not None
    logits = predict_logits(Brightness(), TENSORS, held_out)
    assert judge(Brightness()) == float(metric_loss(logits, torch.from_numpy(LABELS[held_out]).long()))


def test_without_a_label_held_out_nothing_is_judged() -> None:
    assert validation(TENSORS, LABELS, np.arange(0)) is None
    assert validation(TENSORS, np.full_like(LABELS, EMPTY), np.arange(4)) is None
