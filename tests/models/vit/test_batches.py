import numpy as np
import pytest
import torch

from kitlib.models.common.positions import X_MM
from kitlib.models.neural.batches import StudyBatches, StudyTensors
from kitlib.models.vit.batches import PixelBatches, distorted, mirrored_patients, sampled
from kitlib.nn.projection import TokenScale
from kitlib.terms import AXIAL_T2, SEQUENCES, mirrored_cells
from tests.models.builders import as_pixels, make_features, make_labels
from tests.models.vit.builders import make_batch

LABELS = make_labels(10)
FEATURES = as_pixels(make_features(LABELS))


def lots(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_batches(*, augment: bool) -> PixelBatches:
    tensors = StudyTensors(FEATURES, TokenScale.grey_values(3, 16))
    studies = StudyBatches(tensors, LABELS, np.arange(10), size=4, dropped=(0.0, 0.0))
    return PixelBatches(studies, slices=3, augment=augment)


def test_a_training_step_sees_a_few_slices_and_a_judge_all_as_they_are() -> None:
    batches, rows = make_batches(augment=False), np.arange(10)
    plain, labels = batches.batch(rows, None)
    few, same_labels = batches.batch(rows, lots())
    assert torch.equal(labels, same_labels)
    for whole, some in zip(plain, few):
        assert whole.present.sum(1).min() >= 9
        assert (some.present.sum(1) == 3).all()
        assert torch.equal(whole.vectors, some.vectors)


def test_mirrored_patients_have_mirrored_labels() -> None:
    batches, rows = make_batches(augment=True), np.arange(10)
    (plain, labels), (seen, others) = batches.batch(rows, None), batches.batch(rows, lots())
    is_mirrored = (plain[0].positions[:, 0, X_MM] == -seen[0].positions[:, 0, X_MM]).cpu()
    assert 0 < is_mirrored.sum() < 10
    for row in rows:
        expected = labels[row][mirrored_cells] if is_mirrored[row] else labels[row]
        assert torch.equal(others[row], expected)


def test_mirroring_twice_changes_nothing_and_once_exchanges_sides() -> None:
    batch, everyone = make_batch(), torch.ones(4, dtype=torch.bool)
    for name in SEQUENCES:
        once = mirrored_patients(batch, everyone, name)
        twice = mirrored_patients(once, everyone, name)
        torch.testing.assert_close(twice.vectors, batch.vectors)
        torch.testing.assert_close(twice.positions, batch.positions)
        torch.testing.assert_close(once.positions[..., X_MM], -batch.positions[..., X_MM])
        assert torch.equal(once.vectors, batch.vectors) == (name != AXIAL_T2)


def test_only_the_chosen_are_mirrored() -> None:
    batch, chosen = make_batch(), torch.tensor([True, False, False, True])
    once = mirrored_patients(batch, chosen, AXIAL_T2)
    torch.testing.assert_close(once.vectors[~chosen], batch.vectors[~chosen])
    first = once.vectors[0].reshape(-1, 8, 8)
    torch.testing.assert_close(first, batch.vectors[0].reshape(-1, 8, 8).flip(-1))


def test_a_sample_is_of_present_slices_and_likelier_ones_are_drawn_more() -> None:
    batch = make_batch(studies=400)
    log_weights = torch.zeros(400, 6)
    log_weights[:, 2] = 3.0
    drawn = sampled(batch, log_weights, 2, lots()).present
    assert not (drawn & ~batch.present).any()
    assert (drawn.sum(1) == batch.present.sum(1).clamp(max=2)).all()
    shares = drawn.sum(0) / batch.present.sum(0)
    assert shares[2] > 0.8 > 0.6 > shares[0]
    assert torch.equal(sampled(batch, log_weights, 10, lots()).present, batch.present)


@pytest.mark.parametrize("slices", [0, 6])
def test_distortion_leaves_absent_slices_and_the_input_alone(slices: int) -> None:
    batch = make_batch(slices=slices)
    before = batch.vectors.clone()
    moved = distorted(batch, lots())
    assert torch.equal(batch.vectors, before)
    assert torch.equal(moved.vectors[~batch.present], before[~batch.present])
    assert slices == 0 or not torch.equal(moved.vectors[batch.present], before[batch.present])
