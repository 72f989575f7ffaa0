import numpy as np
import pytest

from kitlib.errors import UsageError
from kitlib.models.attention import CellAttentionModel
from kitlib.models.neural.model import LOSS_NAMES
from kitlib.nn.losses import LOSSES
from kitlib.terms import AXIAL_T2
from tests.models.builders import make_features, make_labels

LABELS = make_labels(16)
FEATURES = make_features(LABELS, missing={AXIAL_T2: [1]})


@pytest.mark.parametrize(("members", "inner_parts", "networks"), [(3, 0, 3), (1, 0, 1), (2, 5, 2), (1, 5, 1)])
def test_members_are_trained_on_the_first_inner_parts(members: int, inner_parts: int, networks: int) -> None:
    model = CellAttentionModel(members=members, inner_parts=inner_parts, epochs=0, width=8)
    model.fit(FEATURES, LABELS, seed=0)
    assert len(model.fitted.networks) == networks
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


def test_the_names_of_losses_are_those_that_there_are() -> None:
    assert set(LOSS_NAMES) == set(LOSSES)
