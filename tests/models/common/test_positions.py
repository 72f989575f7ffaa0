import numpy as np
import pytest

from kitlib.inputs.slices import SliceDataset
from kitlib.models.common.positions import (
    X_MM,
    Z_FRACTION,
    Z_MM,
    cell2side,
    expected_attention,
    expected_log_weights,
    relative_positions,
)
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.models.builders import make_features

HEALTHY = np.zeros((3, 25), np.int8)


def test_positions_do_not_depend_on_where_the_scanner_had_its_zero() -> None:
    """The builder shifts every study by its own random offset."""
    first, second, _ = relative_positions(make_features(HEALTHY))
    for sequence in SEQUENCES:
        np.testing.assert_allclose(first[sequence], second[sequence], atol=1e-9)


def test_positions_tell_side_and_level() -> None:
    positions = relative_positions(make_features(HEALTHY))[0]
    assert positions[SAGITTAL_T1][0, X_MM] == pytest.approx(-20)  # patient right comes first
    assert positions[AXIAL_T2][[0, -1], Z_FRACTION].tolist() == pytest.approx([0, 1])  # foot comes first
    assert positions[AXIAL_T2][[0, -1], Z_MM].tolist() == pytest.approx([-80, 80])


def test_without_sagittal_slices_the_axial_ones_are_the_frame() -> None:
    missing = {SAGITTAL_T1: [0], SAGITTAL_T2: [0]}
    positions = relative_positions(make_features(HEALTHY, missing=missing))[0]
    assert positions[AXIAL_T2][[0, -1], Z_MM].tolist() == pytest.approx([-80, 80])
    assert positions[SAGITTAL_T1].shape == (0, 3)


def test_a_single_axial_slice_covers_nothing() -> None:
    features = make_features(HEALTHY[:1])
    axial = features.tokens[AXIAL_T2][0]
    one = type(axial)(axial.vectors[:1], axial.positions_mm[:1])
    tokens = {**features.tokens, AXIAL_T2: [one]}
    positions = relative_positions(SliceDataset(features.study_ids, tokens, features.metadata))[0]
    assert positions[AXIAL_T2][0, Z_FRACTION] == 0.5
    assert np.isfinite(positions[AXIAL_T2]).all()


def test_a_cell_is_expected_on_its_side_and_at_its_level() -> None:
    positions = relative_positions(make_features(HEALTHY))[0]
    foraminal = [cell.group == "foraminal" for cell in CELLS]
    nearest = positions[SAGITTAL_T1][expected_log_weights(positions[SAGITTAL_T1]).argmax(axis=1), X_MM]
    np.testing.assert_array_equal(np.sign(nearest)[foraminal], cell2side[foraminal])
    heights = positions[AXIAL_T2][expected_log_weights(positions[AXIAL_T2]).argmax(axis=1), Z_MM]
    assert (np.diff(heights.reshape(5, 5), axis=1) < 0).all()  # L1/L2 to L5/S1 go down


def test_expected_attention_is_a_distribution_over_the_slices_that_are_there() -> None:
    features = make_features(HEALTHY)
    missing = type(features.tokens[AXIAL_T2][0]).none(features.tokens[AXIAL_T2][0].vectors.shape[1])
    tokens = {**features.tokens, AXIAL_T2: [missing] * len(features)}
    weights = expected_attention(SliceDataset(features.study_ids, tokens, features.metadata))[0]
    assert weights[AXIAL_T2].shape == (len(CELLS), 0)
    np.testing.assert_allclose(weights[SAGITTAL_T1].sum(axis=1), 1)
