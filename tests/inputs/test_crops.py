"""Datasets of crops: hidden views are absent, and rows stay together."""

from dataclasses import replace

import numpy as np
import pytest

from kitlib.inputs.base import Resources, input_from_json
from kitlib.inputs.crops import CropDataset, CropInput, StudyCrops
from kitlib.prepare.views import MARGIN_PX, SLOTS, slot2sequence
from kitlib.terms import SEQUENCES


def some_crops(seed: int, absent: tuple[int, ...] = ()) -> StudyCrops:
    images = np.random.default_rng(seed).integers(0, 255, (len(SLOTS), 2, MARGIN_PX, MARGIN_PX), np.uint8)
    present = np.ones((len(SLOTS), 2), bool)
    present[np.isin(slot2sequence, absent)] = False
    return StudyCrops(images, present, np.zeros((len(SLOTS), 3)), np.ones(len(SLOTS)))


@pytest.fixture
def data() -> CropDataset:
    return CropDataset.of([11, 12, 13], [some_crops(1), some_crops(2, (0,)), some_crops(3, (0, 1, 2))])


def test_present_are_the_sequences_with_a_view(data: CropDataset) -> None:
    assert data.present.tolist() == [[True] * 3, [False, True, True], [False] * 3]


def test_what_is_removed_is_hidden_and_nothing_else(data: CropDataset) -> None:
    removed = np.zeros((3, len(SEQUENCES)), bool)
    removed[0, 2] = True
    left = data.without(removed)
    assert left.present.tolist() == [[True, True, False], [False, True, True], [False] * 3]
    assert (left.shown[0] == (slot2sequence != 2)).all()
    assert data.present[0].all()


def test_other_images_have_no_outputs_yet() -> None:
    crops = some_crops(1)
    crops.view_outputs["a network"] = "what it saw"
    assert replace(crops, images=crops.images[::-1]).view_outputs == {}


def test_rows_are_taken_together(data: CropDataset) -> None:
    some = data.without(np.eye(3, dtype=bool)).take([2, 0])
    assert some.study_ids.tolist() == [13, 11]
    assert some.crops == (data.crops[2], data.crops[0])
    assert some.hidden.tolist() == [[False, False, True], [True, False, False]]
    assert len(data.take([])) == 0
    assert data.take([]).shown.shape == (0, len(SLOTS))


def test_the_fingerprint_follows_pixels_doubts_and_what_is_hidden(data: CropDataset) -> None:
    same = CropDataset.of([11, 12, 13], [some_crops(1), some_crops(2, (0,)), some_crops(3, (0, 1, 2))])
    assert same.fingerprint == data.fingerprint
    others = [
        data.renumbered(np.array([1, 2, 3])),
        data.without(np.eye(3, dtype=bool)),
        CropDataset.of([11, 12, 13], [some_crops(9), *data.crops[1:]]),
        CropDataset.of([11, 12, 13], [replace(some_crops(1), counted=0.4), *data.crops[1:]]),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_the_input_comes_back_from_its_values() -> None:
    spec = CropInput(longest_px=256, slices=5)
    assert input_from_json(spec.to_json()) == spec
    assert CropInput().completed({"longest_px": 256, "backbone": "x"}).longest_px == 256
    assert spec.encoder(Resources(workers=3)).workers == 3
