import numpy as np
import torch

from kitlib.machine import device
from kitlib.models.neural.batches import SequenceBatch, StudyBatches, StudyTensors, drop_slices, fit_reduction
from kitlib.nn.projection import TokenScale
from kitlib.terms import AXIAL_T2, EMPTY, SEQUENCES
from tests.models.builders import WIDTH, make_features, make_labels

LABELS = make_labels(16)
FEATURES = make_features(LABELS, missing={AXIAL_T2: [1]})


def make_batches(labels: np.ndarray = LABELS, slice_dropout: float = 0.0) -> StudyBatches:
    tensors = StudyTensors(FEATURES, fit_reduction(FEATURES, 4, seed=0))
    return StudyBatches(tensors, labels, np.arange(12), size=4, dropped=(slice_dropout, 0.0))


def test_without_components_all_dimensions_are_seen_centred_and_on_one_scale() -> None:
    tensors = StudyTensors(FEATURES, fit_reduction(FEATURES, 0, seed=0))
    assert not tensors.reduced  # nothing is converted before it is needed
    for batch in tensors.batch(np.arange(16)):
        seen = batch.vectors[batch.present].cpu()
        assert seen.shape[1] == WIDTH
        torch.testing.assert_close(seen.mean(0), torch.zeros(WIDTH), atol=1e-4, rtol=0)
        torch.testing.assert_close(float(seen.square().mean()), 1.0, atol=1e-3, rtol=0)


def test_a_scale_of_one_leaves_tokens_as_they_are() -> None:
    same = TokenScale(torch.zeros(3, WIDTH), torch.ones(3))
    for batch, name in zip(StudyTensors(FEATURES, same).batch([0]), SEQUENCES):
        np.testing.assert_array_equal(batch.vectors[0].cpu().numpy(), FEATURES.tokens[name][0].vectors)


def test_shorter_series_are_padded_and_padding_is_absent() -> None:
    axial = make_batches().tensors.batch([0, 1])[SEQUENCES.index(AXIAL_T2)]
    assert axial.present.sum(1).tolist() == [15, 0]
    assert axial.vectors.shape == (2, 15, 4)
    assert axial.positions.shape == (2, 15, 3)


def test_an_epoch_is_all_studies_once_but_for_batches_without_a_label() -> None:
    rows = np.concatenate(make_batches().epoch(torch.Generator().manual_seed(0)))
    assert sorted(rows) == list(range(12))
    labels = LABELS.copy()
    labels[1:] = EMPTY
    (only,) = make_batches(labels).epoch(torch.Generator().manual_seed(0))
    assert 0 in only


def test_slices_are_dropped_where_a_generator_is_given_and_nowhere_else() -> None:
    batches, rows = make_batches(slice_dropout=0.5), np.arange(4)
    (plain, labels), (dropped, _) = (
        batches.batch(rows, rng) for rng in (None, torch.Generator().manual_seed(0))
    )
    np.testing.assert_array_equal(labels.cpu(), LABELS[:4])
    for whole, some in zip(plain, dropped):
        assert not (some.present & ~whole.present).any()
        assert some.present.sum() < whole.present.sum()


def test_dropped_shares_are_those_asked_for() -> None:
    present = torch.ones(2000, 10, dtype=torch.bool, device=device())
    batch = SequenceBatch(torch.zeros(2000, 10, 1), torch.zeros(2000, 10, 3), present)
    rng = torch.Generator().manual_seed(0)
    assert abs(float(drop_slices(batch, 0.3, 0.0, rng).present.float().mean()) - 0.7) < 0.02
    whole = drop_slices(batch, 0.0, 0.4, rng).present
    assert set(whole.sum(1).tolist()) == {0, 10}
    assert abs(float(whole.float().mean()) - 0.6) < 0.05
