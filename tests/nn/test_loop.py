"""When training ends, and what is left of it."""

import numpy as np
import pytest
import torch

from kitlib.machine import device
from kitlib.models.neural import loop
from kitlib.models.neural.batches import StudyTensors, TokenScale, View
from kitlib.models.neural.loop import Schedule, learned_nothing, train
from kitlib.terms import EMPTY
from tests.models.builders import make_features, make_labels

LABELS = make_labels(16)
FEATURES = make_features(LABELS)
TENSORS = StudyTensors(FEATURES, TokenScale.fit(FEATURES, seed=0))
ROWS, HELD_OUT = np.arange(12), np.arange(12, 16)


class Constant(torch.nn.Module):
    """The same logits for every study: enough to be trained, judged and averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(25, 3))

    def forward(self, views: list[View]) -> torch.Tensor:
        return self.logits.expand(len(views[0].present), -1, -1)


def schedule(**changes: float) -> Schedule:
    usual = {"epochs": 6, "batch": 4, "learning_rate": 0.05, "weight_decay": 0.0, "slice_dropout": 0.0}
    return Schedule(**{**usual, "view_dropout": 0.0, "patience": 40, **changes})  # type: ignore[arg-type]


def trained(held_out: np.ndarray = HELD_OUT, labels: np.ndarray = LABELS, **changes: float) -> tuple:
    network = Constant().to(device())
    curve = train(network, TENSORS, labels, ROWS, held_out, schedule(**changes), seed=0)
    return network, curve


def test_the_labels_of_studies_held_out_stop_the_training_and_do_nothing_else() -> None:
    other = LABELS.copy()
    other[HELD_OUT] = np.where(other[HELD_OUT] == 0, 2, 0)
    (_, plain), (_, swapped) = trained(), trained(labels=other)
    losses = [[row["train_loss"] for row in curve[1:]] for curve in (plain, swapped)]
    assert losses[0] == losses[1]
    assert [row["valid_loss"] for row in plain] != [row["valid_loss"] for row in swapped]


def test_a_loss_that_is_no_number_ends_the_training_and_keeps_what_was_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = iter([1.0, 0.5, float("nan"), 0.1])
    states = []

    def judge(network: torch.nn.Module, *_: object) -> float:
        states.append(network.logits.detach().clone())  # type: ignore[operator]
        return next(losses)

    monkeypatch.setattr(loop, "evaluate", judge)
    network, curve = trained()
    assert len(curve) == 3
    torch.testing.assert_close(network.logits.detach(), states[1])


@pytest.mark.parametrize("held_out", [HELD_OUT[:0], HELD_OUT])
def test_where_nothing_held_out_is_labelled_the_last_epoch_stays(held_out: np.ndarray) -> None:
    labels = LABELS.copy()
    labels[held_out] = EMPTY
    network, curve = trained(held_out, labels, patience=1)
    assert len(curve) == 7
    assert all(np.isnan(row["valid_loss"]) for row in curve)
    assert not learned_nothing(curve)
    assert network.logits.abs().max() > 0


def test_a_network_that_found_nothing_better_is_as_it_began_and_known_to_be() -> None:
    network, curve = trained(learning_rate=1e4, epochs=3)
    assert learned_nothing(curve)
    assert (network.logits == 0).all()
    assert not learned_nothing(trained()[1])
    assert not learned_nothing(trained(epochs=0)[1])
    assert not learned_nothing([])
