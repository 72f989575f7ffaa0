"""The fusion: mirrored patients get mirrored grades, absent views have no effect, views start it."""

import pytest
import torch

from kitlib.grade.fusion import OUTPUTS, Fusion, Sight
from kitlib.prepare.views import SLOTS, Slot
from kitlib.terms import CELLS, mirrored_cells

WIDTH = 16
mirrored_slots = [SLOTS.index(Slot(mirrored_cells[slot.cell], slot.view)) for slot in SLOTS]


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    torch.manual_seed(0)
    fusion = Fusion(WIDTH).eval()
    torch.nn.init.normal_(fusion.head.weight)  # as if it had been trained
    return fusion


def some_sight(studies: int = 3) -> Sight:
    rng = torch.Generator().manual_seed(1)
    vectors = torch.randn(studies, len(SLOTS), WIDTH, generator=rng)
    predictions = torch.randn(studies, len(SLOTS), OUTPUTS, generator=rng)
    return Sight(vectors, predictions, torch.rand(studies, len(SLOTS), generator=rng) < 0.7)


@torch.inference_mode()
def test_a_mirrored_patient_gets_mirrored_grades(fusion: Fusion) -> None:
    sight = some_sight()
    mirrored = Sight(*(part[:, mirrored_slots] for part in sight))
    torch.testing.assert_close(fusion(mirrored), fusion(sight)[:, mirrored_cells], atol=1e-5, rtol=0)
    assert not torch.allclose(fusion(sight)[:, mirrored_cells], fusion(sight), atol=0.1)


@torch.inference_mode()
def test_what_is_not_shown_says_nothing(fusion: Fusion) -> None:
    sight = some_sight()
    hidden = ~sight.shown[..., None]
    other = Sight(sight.vectors + 9 * hidden, sight.predictions - 9 * hidden, sight.shown)
    torch.testing.assert_close(fusion(other), fusion(sight), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_every_view_that_is_shown_tells_on_every_cell(fusion: Fusion) -> None:
    sight = some_sight(1)._replace(shown=torch.ones(1, len(SLOTS), dtype=torch.bool))
    before = fusion(sight)
    for slot in range(0, len(SLOTS), 7):
        vectors = sight.vectors.clone()
        vectors[0, slot] += torch.randn(WIDTH, generator=torch.Generator().manual_seed(slot))
        assert ((fusion(sight._replace(vectors=vectors)) - before).abs().amax(-1) > 1e-6).all()


@torch.inference_mode()
def test_untrained_it_is_the_mean_of_the_views_of_a_cell() -> None:
    torch.manual_seed(0)
    fusion, sight = Fusion(WIDTH).eval(), some_sight()
    predictions = fusion(sight)
    for row in range(len(CELLS)):
        own = [number for number, slot in enumerate(SLOTS) if slot.cell == row]
        for study in range(3):
            shown = [number for number in own if sight.shown[study, number]]
            mean = sight.predictions[study, shown].mean(0) if shown else torch.zeros(OUTPUTS)
            torch.testing.assert_close(predictions[study, row], mean)
