"""Label noise: contradictory labels, and only those, are found by models that have not seen them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from kitlib.errors import UsageError
from kitlib.grade.samples import SLICES, phantom_views
from kitlib.inputs.crops import CropDataset, StudyCrops
from kitlib.models.base import Model
from kitlib.models.crop.label_noise import contradicted, out_of_fold
from kitlib.models.crop.model import CropModel
from kitlib.phantom.study import draw_study
from kitlib.prepare.views import MARGIN_PX, SLOTS
from kitlib.terms import EMPTY, SEVERITIES
from tests.models.builders import as_crops, make_features, make_labels, untrained_grader

NORMAL, SEVERE = 0, len(SEVERITIES) - 1


@dataclass
class Witness(Model):
    """Reveals which studies it was fitted on: it predicts severe for those, and normal for others."""

    name: ClassVar[str] = "witness"
    reads: ClassVar[type] = CropDataset

    def _fit(self, data: CropDataset, *_: object) -> None:
        self.seen = set(data.study_ids.tolist())

    def _predict(self, data: CropDataset) -> np.ndarray:
        known = np.isin(data.study_ids, list(self.seen))
        return np.eye(3)[np.where(known, SEVERE, NORMAL)][:, None].repeat(25, axis=1)


def plain_crops(studies: int) -> CropDataset:
    images = np.zeros((len(SLOTS), 1, MARGIN_PX, MARGIN_PX), np.uint8)
    present = np.ones((len(SLOTS), 1), bool)
    one = StudyCrops(images, present, np.zeros((len(SLOTS), 3)), np.ones(len(SLOTS)))
    return CropDataset.of(range(studies), [one] * studies)


def crops_of_phantoms(count: int) -> tuple[CropDataset, np.ndarray]:
    """Phantoms' crops, and their true severities (n, 25)."""
    crops, truth = [], []
    for number in range(count):
        phantom = draw_study(number, seed=5, size="demo", class_balance=0.6)
        samples = phantom_views(phantom, 1)
        at = [SLOTS.index(slot) for slot in zip(samples.cells, samples.views)]
        images = np.zeros((len(SLOTS), 1, MARGIN_PX, MARGIN_PX), np.uint8)
        present = np.zeros((len(SLOTS), 1), bool)
        images[at, 0], present[at, 0] = samples.images[:, SLICES // 2], samples.present[:, SLICES // 2]
        crops.append(StudyCrops(images, present, np.zeros((len(SLOTS), 3)), np.ones(len(SLOTS))))
        truth.append(phantom.severities)
    return CropDataset.of(range(count), crops), np.array(truth)


def test_no_study_is_told_of_by_a_model_that_has_seen_it() -> None:
    labels = make_labels(11)
    found = out_of_fold(Witness(), plain_crops(11), labels, 4, seed=0)
    assert (found[..., NORMAL] == 1).all()


@pytest.mark.parametrize("parts", [1, 5])
def test_where_nothing_is_left_to_fit_on_nothing_is_told(parts: int) -> None:
    labels = make_labels(5)
    labels[1:] = EMPTY
    labels[0, 0] = SEVERE
    found = out_of_fold(Witness(), plain_crops(5), labels, parts, seed=0)
    assert np.isnan(found[0]).all()
    assert not contradicted(labels, found, 0.8).any()


def test_only_a_label_that_differs_by_so_much_is_contradicted() -> None:
    labels = np.full((1, 25), EMPTY, np.int8)
    labels[0, :4] = NORMAL, NORMAL, SEVERE, 1
    probabilities = np.full((1, 25, 3), 1 / 3)
    probabilities[0, :5] = (0.21, 0.3, 0.49), (0.2, 0.3, 0.5), (0.0, 0.1, 0.9), (0.95, 0.0, 0.05), (1, 0, 0)
    found = contradicted(labels, probabilities, 0.8)
    assert np.flatnonzero(found).tolist() == [1, 3]


@pytest.mark.slow
def test_what_is_left_out_of_phantoms_is_mostly_what_was_planted() -> None:
    data, truth = crops_of_phantoms(14)
    planted = (np.random.default_rng(0).random(truth.shape) < 0.08) & (truth != 1)
    labels = np.where(planted, SEVERE - truth, truth)  # from one end of the severities to the other
    predictions = out_of_fold(CropModel(), data, labels, 3, seed=0)
    left_out = contradicted(labels, predictions, 0.8)
    assert (left_out & planted).sum() > 0.7 * planted.sum()
    assert (left_out & planted).sum() > 0.5 * left_out.sum()


def test_a_second_round_learns_from_fewer_labels_and_says_so() -> None:
    labels = make_labels(10)
    data = as_crops(make_features(labels))
    how = {"start": untrained_grader(), "epochs": 2, "inner_parts": 2}
    plain = CropModel(**how).fit(data, labels, seed=0)
    none = CropModel(noise_from=1.0, **how).fit(data, labels, seed=0)
    np.testing.assert_array_equal(none.predict(data), plain.predict(data))
    assert none.notes[0] == f"0 of {(labels != EMPTY).sum()} labels left out in the second round"
    assert not plain.notes or "left out" not in plain.notes[0]
    kept = labels.copy()
    some = CropModel(noise_from=0.6, **how).fit(data, labels, seed=0)
    assert not some.notes[0].startswith("0 of")
    np.testing.assert_array_equal(labels, kept)


@pytest.mark.parametrize("limit", [-0.1, 1.1])
def test_a_limit_that_is_no_difference_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match="noise_from"):
        CropModel(noise_from=limit)
