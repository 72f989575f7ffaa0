"""Training: when it stops, what it saves, and that a killed one resumes as if nothing had happened."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn

from kitlib.artefacts import Provenance
from kitlib.nn.loop import Checkpoint, Schedule, learned_nothing, train
from kitlib.nn.rows import shuffled

TARGET = torch.tensor([1.0, -2.0, 3.0])


@dataclass
class Points:
    """Noisy measurements of a line, three numbers each."""

    count: int = 12
    size: int = 4

    def epoch(self, rng: torch.Generator) -> list[np.ndarray]:
        return shuffled(np.arange(self.count), self.size, rng)

    def batch(self, rows: np.ndarray, rng: torch.Generator | None) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = torch.from_numpy(rows).float()[:, None] / self.count
        noise = torch.randn(len(rows), 3, generator=rng) if rng else torch.zeros(len(rows), 3)
        return inputs, inputs * TARGET + 0.1 * noise


class Regression(nn.Module):
    """With dropout, which draws from the global generator, and buffers that are not weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.layers = nn.Sequential(
            nn.Linear(1, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs)


def squares(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (output - target).square().mean()


def valid_loss(network: nn.Module) -> float:
    inputs, target = Points().batch(np.arange(12), None)
    with torch.inference_mode():
        return float(squares(network(inputs), target))


def schedule(**changes: Any) -> Schedule:
    return Schedule(**{"epochs": 6, "learning_rate": 0.02, "average_decay": 0.5, **changes})


def trained(network: nn.Module | None = None, *, seed: int = 0, **options: Any) -> tuple[nn.Module, list]:
    changes = {name: options.pop(name) for name in list(options) if name in Schedule.__dataclass_fields__}
    network = network or Regression()
    torch.manual_seed(seed)
    return network, train(network, Points(), squares, schedule(**changes), seed, **options)


def assert_same(first: nn.Module, second: nn.Module) -> None:
    ours, theirs = first.state_dict(), second.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def losses_of(*values: float) -> Callable[[nn.Module], float]:
    given = iter(values)
    return lambda _: next(given)


def test_it_learns_and_the_curve_begins_with_the_network_as_given() -> None:
    before = valid_loss(Regression().eval())
    network, curve = trained(epochs=80, validate=valid_loss)
    assert [row["epoch"] for row in curve] == list(range(81))
    assert curve[0]["valid_loss"] == pytest.approx(before)
    assert np.isnan(curve[0]["train_loss"])
    assert valid_loss(network) == min(row["valid_loss"] for row in curve) < before / 4
    assert not network.training


def test_the_best_epoch_is_kept_and_patience_counts_from_it() -> None:
    states = []

    def remember(_: int, average: nn.Module) -> None:
        states.append({name: tensor.clone() for name, tensor in average.state_dict().items()})

    network, curve = trained(
        patience=2, validate=losses_of(5.0, 4.0, 3.0, 6.0, 7.0, 1.0), after_epoch=remember
    )
    assert [row["valid_loss"] for row in curve] == [5.0, 4.0, 3.0, 6.0, 7.0]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in network.state_dict().items())
    assert not torch.equal(states[1]["layers.0.weight"], states[3]["layers.0.weight"])


def test_without_patience_all_epochs_are_run() -> None:
    _, curve = trained(validate=losses_of(*range(7)))
    assert len(curve) == 7
    assert learned_nothing(curve)


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    _, curve = trained(validate=losses_of(1.0, 0.5, float("nan"), 0.1))
    assert len(curve) == 3
    assert not learned_nothing(curve)


def test_without_validation_the_last_epoch_stays() -> None:
    network, curve = trained(patience=1)
    assert len(curve) == 7
    assert all(np.isnan(row["valid_loss"]) for row in curve)
    assert not learned_nothing(curve)
    assert not torch.equal(network.layers[0].weight, Regression().layers[0].weight)


def test_a_network_that_found_nothing_better_is_as_it_began() -> None:
    network, curve = trained(learning_rate=1e6, epochs=3, validate=valid_loss)
    assert learned_nothing(curve)
    assert_same(network, Regression())
    assert not learned_nothing(trained(epochs=0)[1])
    assert not learned_nothing([])


class Killed(Exception):
    pass


@pytest.mark.parametrize("last", [1, 3, 6])
@pytest.mark.parametrize("changes", [{}, {"warm_up": 0.3, "fused": True}])
def test_a_killed_training_ends_with_the_same_bytes(last: int, changes: dict, tmp_path: Path) -> None:
    seen: list[int] = []

    def kill(epoch: int, _: nn.Module) -> None:
        seen.append(epoch)
        if epoch == last and seen.count(last) == 1:
            raise Killed

    checkpoint = Checkpoint(tmp_path / "unfinished", Provenance({"of": "test"}, seed=0))
    whole, curve = trained(validate=valid_loss, **changes)
    with pytest.raises(Killed):
        trained(validate=valid_loss, checkpoint=checkpoint, after_epoch=kill, **changes)
    torch.rand(99)  # whatever was drawn meanwhile
    resumed, curve_of_resumed = trained(
        seed=0, validate=valid_loss, checkpoint=checkpoint, after_epoch=kill, **changes
    )
    assert_same(resumed, whole)
    assert curve_of_resumed[1:] == curve[1:]
    assert seen == [*range(1, last + 1), *range(last, 7)]  # called again for the epoch it resumes from
    finished, _ = trained(checkpoint=checkpoint, validate=losses_of(), **changes)
    assert_same(finished, whole)


@pytest.mark.parametrize("changed", [{"epochs": 7}, {"seed": 1}, {"provenance": Provenance({"of": "other"})}])
def test_the_checkpoint_of_another_training_is_not_gone_on_from(changed: dict, tmp_path: Path) -> None:
    made = Provenance({"of": "test"})
    trained(checkpoint=Checkpoint(tmp_path / "unfinished", made))
    provenance = changed.pop("provenance", made)
    epochs: list[int] = []
    trained(
        checkpoint=Checkpoint(tmp_path / "unfinished", provenance),
        after_epoch=lambda epoch, _: epochs.append(epoch),
        **changed,
    )
    assert epochs[0] == 1


def test_a_thread_draws_the_same() -> None:
    assert_same(trained(in_thread=True)[0], trained(in_thread=False)[0])


def test_an_error_in_a_thread_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Points, "batch", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trained(in_thread=True)


def test_what_is_frozen_stays_with_its_statistics() -> None:
    network = Regression()
    network.layers[:2].requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained(network)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"layers.4.weight", "layers.4.bias"}


def test_gradients_are_clipped() -> None:
    network = Regression()
    norms: list[float] = []
    network.layers[4].weight.register_hook(lambda gradient: norms.append(float(gradient.norm())) or gradient)
    clipped, _ = trained(network, largest_gradient=1e-3, epochs=1)
    assert max(norms) > 1e-3
    assert not torch.equal(clipped.layers[4].weight, trained(epochs=1)[0].layers[4].weight)


def test_one_cycle_is_that_of_torch() -> None:
    weight, steps = nn.Parameter(torch.zeros(1)), 1001
    optimiser = torch.optim.AdamW([weight], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, steps, pct_start=0.2)
    ours = schedule(learning_rate=0.1, warm_up=0.2)
    for step in range(steps):
        group = optimiser.param_groups[0]
        rate, momentum = ours.rate_and_momentum(step / (steps - 1))
        assert rate == pytest.approx(group["lr"], abs=5e-4)
        assert momentum == pytest.approx(group["betas"][0], abs=5e-4)
        optimiser.step()
        if step < steps - 1:
            theirs.step()


@pytest.mark.parametrize("decay", [0.998, 0.9])
def test_the_average_warms_up_as_that_of_timm(decay: float) -> None:
    theirs = ModelEmaV3(nn.Linear(1, 1), decay=decay, use_warmup=True)
    ours = schedule(warm_up=0.1, average_decay=decay)
    for step in (1, 2, 10, 100, 20_000):
        assert ours.decay(step) == pytest.approx(theirs.get_decay(step))
    assert schedule(average_decay=decay).decay(1) == decay
