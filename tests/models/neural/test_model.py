import numpy as np
import pytest
import torch

from kitlib.errors import UsageError
from kitlib.models.cell_attention.model import CellAttentionModel
from kitlib.models.neural.batches import StudyTensors, TokenScale
from kitlib.terms import AXIAL_T2, SEQUENCES
from tests.models.builders import WIDTH, make_features, make_labels

LABELS = make_labels(16)
FEATURES = make_features(LABELS, missing={AXIAL_T2: [1]})


def test_without_components_all_dimensions_are_seen_centred_and_on_one_scale() -> None:
    tensors = StudyTensors(FEATURES, TokenScale.fit(FEATURES, seed=0))
    assert not tensors.reduced  # nothing is converted before it is asked for
    for view in tensors.batch(np.arange(16)):
        seen = view.vectors[view.present].cpu()
        assert seen.shape[1] == WIDTH
        torch.testing.assert_close(seen.mean(0), torch.zeros(WIDTH), atol=1e-4, rtol=0)
        torch.testing.assert_close(float(seen.square().mean()), 1.0, atol=1e-3, rtol=0)


def test_no_scale_leaves_tokens_as_they_are() -> None:
    views = StudyTensors(FEATURES, TokenScale.none(WIDTH)).batch([0])
    for view, name in zip(views, SEQUENCES):
        np.testing.assert_array_equal(view.vectors[0].cpu().numpy(), FEATURES.tokens[name][0].vectors)


@pytest.mark.parametrize(("members", "inner_parts", "networks"), [(3, 0, 3), (1, 0, 1), (2, 5, 2), (1, 5, 1)])
def test_members_are_trained_on_the_first_inner_parts(members: int, inner_parts: int, networks: int) -> None:
    model = CellAttentionModel(members=members, inner_parts=inner_parts, epochs=0, width=8)
    model.fit(FEATURES, LABELS, seed=0)
    assert len(model.networks) == networks
    held_out = model.curve["valid_loss"].notna().all()
    assert held_out == (max(members, inner_parts) > 1)


def test_another_loss_is_trained() -> None:
    curves = [
        CellAttentionModel(members=2, epochs=2, width=8, loss=loss).fit(FEATURES, LABELS, seed=0).curve
        for loss in ("metric", "bce")
    ]
    assert not np.allclose(curves[0]["valid_loss"], curves[1]["valid_loss"])
    with pytest.raises(UsageError, match=r"unknown cell_attention\.loss 'focal'"):
        CellAttentionModel(loss="focal")
