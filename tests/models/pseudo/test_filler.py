"""Views by level and back, and imputed values for missing views."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import Provenance
from kitlib.grade.fusion import OUTPUTS, Sight
from kitlib.grade.network import ViewNet
from kitlib.models.crop.network import FittedNetwork
from kitlib.models.pseudo.filler import ViewFiller, by_level, by_slot, level2slots, present_by_level
from kitlib.models.pseudo.imputers import ModalityImputer
from kitlib.models.pseudo.model import build_imputer
from kitlib.models.pseudo.views import PseudoViewsModel
from kitlib.prepare.views import SLOTS, VIEWS, slot2sequence
from kitlib.terms import AXIAL_T2, CELLS, LEVELS, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.models.builders import as_crops, make_features, make_labels, untrained_grader

STUDIES, WIDTH = 30, 4
NETWORK = ViewNet("test_resnet").eval()
AXIAL = SEQUENCES.index(AXIAL_T2)


def make_sight(width: int = WIDTH, hidden: int | None = None) -> Sight:
    """Views whose first number is the level's severity, the same in all sequences; the rest is noise."""
    random = np.random.default_rng(0)
    ill = random.normal(size=(STUDIES, len(LEVELS)))
    of_slot = [LEVELS.index(CELLS[slot.cell].level) for slot in SLOTS]
    vectors = 0.1 * random.normal(size=(STUDIES, len(SLOTS), width))
    vectors[..., 0] += ill[:, of_slot]
    shown = np.ones((STUDIES, len(SLOTS)), bool)
    if hidden is not None:
        shown[:10, slot2sequence == hidden] = False
    vectors[~shown] = 0
    predictions = torch.zeros(STUDIES, len(SLOTS), OUTPUTS)
    return Sight(torch.from_numpy(vectors).float(), predictions, torch.from_numpy(shown))


def test_every_view_stands_once_at_its_level_and_sequence() -> None:
    assert sorted(level2slots.ravel()) == [*range(len(SLOTS)), *[len(SLOTS)] * 5]  # a T1 has no canal
    for level, name in enumerate(LEVELS):
        for sequence, of_it in enumerate(SEQUENCES):
            slots = [SLOTS[number] for number in level2slots[level, sequence] if number < len(SLOTS)]
            assert {CELLS[slot.cell].level for slot in slots} == {name}
            assert {VIEWS[slot.view].sequence for slot in slots} == {of_it}
            places = sorted(VIEWS[slot.view].place for slot in slots)
            assert (
                places
                == {
                    SAGITTAL_T1: ["foramen"] * 2,
                    SAGITTAL_T2: ["canal", "foramen", "foramen"],
                    AXIAL_T2: ["canal", "recess", "recess"],
                }[of_it]
            )


def test_by_level_and_back_is_the_same() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, len(SLOTS), WIDTH))
    rows = by_level(vectors)
    assert rows.shape == (3 * len(LEVELS), len(SEQUENCES), 3 * WIDTH)
    np.testing.assert_array_equal(by_slot(rows), vectors)


def test_a_sequence_is_present_at_a_level_where_all_its_views_are() -> None:
    shown = np.ones((2, len(SLOTS)), bool)
    shown[1, level2slots[2, AXIAL, 0]] = False
    present = present_by_level(shown).reshape(2, len(LEVELS), len(SEQUENCES))
    assert (~present).sum() == 1
    assert not present[1, 2, AXIAL]


@pytest.mark.parametrize("name", ["mean", "knn", "iterative"])
def test_what_is_there_stays_and_what_is_missing_is_guessed_from_the_level(name: str) -> None:
    width = NETWORK.width
    whole, holed = make_sight(width), make_sight(width, hidden=AXIAL)
    filled = ViewFiller.fit(build_imputer(name, 6, 0, 0), holed, 0).filled(holed, NETWORK)
    assert filled.shown.all()
    there = holed.shown
    assert torch.equal(filled.vectors[there], whole.vectors[there])
    assert torch.equal(filled.predictions[there], whole.predictions[there])
    assert filled.predictions[~there].abs().sum() > 0
    truth, guess = whole.vectors[~there][:, 0], filled.vectors[~there][:, 0]
    left = (truth - guess).square().mean() / truth.var()
    assert left > 0.8 if name == "mean" else left < 0.3


def test_the_mean_is_that_of_the_level() -> None:
    sight = make_sight()
    at_level = torch.tensor([LEVELS.index(CELLS[slot.cell].level) for slot in SLOTS]).float()
    sight = sight._replace(vectors=sight.vectors * 0 + at_level[:, None])
    filler = ViewFiller.fit(ModalityImputer(4), sight, 0)
    nothing = sight._replace(shown=torch.zeros_like(sight.shown), vectors=sight.vectors * 0)
    guesses = by_slot(filler.imputer.impute(filler.seen(nothing), present_by_level(nothing.shown.numpy())))
    usual = by_slot(np.tile(filler.usual, (STUDIES, 1, 1)))
    np.testing.assert_allclose(guesses + usual, np.broadcast_to(at_level[:, None], guesses.shape), atol=1e-6)


def test_save_and_load_agree(tmp_path: Path) -> None:
    sight = make_sight(NETWORK.width, hidden=0)
    filler = ViewFiller.fit(build_imputer("knn", 3, 0, 0), sight, 0)
    filler.save(tmp_path, Provenance())
    loaded = ViewFiller.load(tmp_path, build_imputer("knn", 3, 0, 0))
    one, other = (each.filled(sight, NETWORK) for each in (filler, loaded))
    assert torch.equal(one.vectors, other.vectors)


def test_what_views_tell_is_made_once_for_all_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = make_labels(6)
    data, model = as_crops(make_features(labels)), PseudoViewsModel(start=untrained_grader(), epochs=1)
    model.make_shared(data)
    monkeypatch.setattr(FittedNetwork, "_look", lambda *_: pytest.fail("looked at again"))
    model.fit(data, labels, seed=0)
