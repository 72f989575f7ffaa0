import numpy as np
import pytest
import torch

from kitlib.models.attention import CellAttentionModel
from kitlib.models.common.positions import cell2side
from kitlib.models.common.training_rows import inner_splits
from kitlib.nn.losses import metric_loss
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T1, SEQUENCES
from tests.models.builders import make_features, make_labels

LABELS = make_labels(16)
FEATURES = make_features(LABELS, missing={AXIAL_T2: [1]})
UNTRAINED = CellAttentionModel(members=2, epochs=0, width=8).fit(FEATURES, LABELS, seed=0)


def test_an_untrained_network_predicts_the_prior() -> None:
    np.testing.assert_allclose(UNTRAINED.predict(FEATURES), np.tile(UNTRAINED.prior, (16, 1, 1)), atol=1e-6)


def test_attention_starts_where_anatomy_says() -> None:
    attention = UNTRAINED.attention(FEATURES)
    assert [weights.shape for weights in attention[0].values()] == [(25, 9), (25, 9), (25, 15)]
    for sequence in SEQUENCES:
        np.testing.assert_allclose(attention[0][sequence].sum(axis=1), 1, atol=1e-5)
    assert attention[1][AXIAL_T2].shape == (25, 0)
    x_mm = FEATURES.tokens[SAGITTAL_T1][0].positions_mm[:, 0]
    plot_attention = attention[0][SAGITTAL_T1] @ (x_mm - np.median(x_mm))
    foraminal = [cell.group == "foraminal" for cell in CELLS]
    np.testing.assert_array_equal(np.sign(plot_attention[foraminal]), cell2side[foraminal])


def test_the_curve_begins_at_the_prior_and_names_every_member() -> None:
    model = CellAttentionModel(members=2, epochs=2, width=8).fit(FEATURES, LABELS, seed=0)
    assert model.curve.groupby("part")["epoch"].max().to_dict() == {"0": 2, "1": 2}
    prior = torch.from_numpy(np.log(model.prior)).expand(len(LABELS), -1, -1)
    for member, (_, held_out) in enumerate(inner_splits(LABELS, 2, seed=0)):
        expected = metric_loss(prior[held_out], torch.from_numpy(LABELS[held_out]).long())
        begun = model.curve.query(f"epoch == 0 and part == '{member}'")["valid_loss"]
        assert begun.tolist() == pytest.approx([float(expected)], abs=1e-5)
    assert model.curve.loc[model.curve["epoch"] > 0, "train_loss"].notna().all()


def test_fitting_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    CellAttentionModel(members=1, epochs=1, width=8).fit(FEATURES, LABELS, seed=0)
    torch.testing.assert_close(torch.rand(3), expected)
