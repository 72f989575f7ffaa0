import gc
import weakref
from pathlib import Path

import numpy as np
import pandas as pd

from kitlib.artefacts import Provenance
from kitlib.embed.tokens import Tokens
from kitlib.inputs.slices import SliceDataset
from kitlib.models.common.cell_table import CellTable, Reduction, StudyTable, pooled
from kitlib.terms import AXIAL_T2, CONDITIONS, SAGITTAL_T1, SAGITTAL_T2
from tests.models.builders import WIDTH, make_features, make_labels

LABELS = make_labels(10)
FEATURES = make_features(LABELS)
PRIOR = np.full((25, 3), 1 / 3)


def test_pooling_looks_where_the_cell_is() -> None:
    features = make_features(np.zeros((1, 25), np.int8))
    tokens = features.tokens[AXIAL_T2][0]
    tokens.embeddings[:] = tokens.positions_mm[:, 2:] - tokens.positions_mm[:, 2].mean()
    heights = pooled(features, AXIAL_T2, WIDTH)[0, :, 0]
    assert (np.diff(heights) < -10).all()


def test_a_region_of_a_3d_network_is_of_all_levels() -> None:
    """Its sagittal tokens differ in height: those of one level must not stand for all."""
    x_mm, z_mm = (axis.ravel() for axis in np.meshgrid(np.linspace(-20, 20, 9), np.linspace(-80, 80, 9)))
    cells = Tokens(np.column_stack([x_mm, z_mm]), np.column_stack([x_mm, 0 * x_mm, z_mm]))
    features = SliceDataset(
        np.array([1]),
        {SAGITTAL_T1: [cells], SAGITTAL_T2: [Tokens.none(2)], AXIAL_T2: [Tokens.none(2)]},
        make_features(LABELS).metadata.iloc[:1],
    )
    x_seen, z_seen = pooled(features, SAGITTAL_T1, 2)[0].T
    np.testing.assert_allclose(z_seen, 0, atol=1e-4)
    assert x_seen[CONDITIONS.index("left_neural_foraminal_narrowing")] > 5
    assert x_seen[CONDITIONS.index("right_neural_foraminal_narrowing")] < -5


def test_a_missing_sequence_is_nan_when_pooled_and_the_mean_in_the_table() -> None:
    features = make_features(LABELS, missing={SAGITTAL_T1: [2]})
    regions = pooled(features, SAGITTAL_T1, WIDTH)
    assert np.isnan(regions[2]).all()
    assert not np.isnan(np.delete(regions, 2, axis=0)).any()
    rows = CellTable().fit(features, PRIOR, components=3, seed=0).transform(features)
    assert np.isfinite(rows).all()
    assert (rows[2, :, :3] == 0).all()


def test_reduction_keeps_the_largest_differences_between_studies() -> None:
    random = np.random.default_rng(0)
    direction = random.normal(size=8)
    regions = random.normal(size=(30, 1, 1)) * 5 * direction + random.normal(size=(30, 5, 8)) * 0.1
    reduction = Reduction.fit(regions, components=1, seed=0)
    assert abs(np.corrcoef(reduction.transform(regions)[:, 0, 0], regions[:, 0] @ direction)[0, 1]) > 0.99


def test_the_table_has_a_finite_row_a_cell_and_ends_with_the_log_prior() -> None:
    rows = CellTable().fit(FEATURES, PRIOR, components=3, seed=0).transform(FEATURES)
    assert rows.shape[:2] == (10, 25)
    np.testing.assert_allclose(rows[..., -3:], np.log(1 / 3))


def test_components_never_exceed_what_few_studies_allow() -> None:
    rows = CellTable().fit(FEATURES.take([0]), PRIOR, components=50, seed=0).transform(FEATURES)
    assert np.isfinite(rows).all()


def test_save_and_load_agree(tmp_path: Path) -> None:
    table = CellTable().fit(FEATURES, PRIOR, components=3, seed=0)
    table.save(tmp_path, Provenance())
    np.testing.assert_allclose(CellTable.load(tmp_path, PRIOR).transform(FEATURES), table.transform(FEATURES))


def test_a_table_without_metadata_is_no_error() -> None:
    bare = SliceDataset(FEATURES.study_ids, FEATURES.tokens, pd.DataFrame(index=FEATURES.metadata.index))
    rows = CellTable().fit(bare, PRIOR, components=3, seed=0).transform(bare)
    assert rows.shape == (10, 25, 9 + 2 + 3)


def test_metadata_as_a_whole_weigh_no_more_than_one_column() -> None:
    encoded = StudyTable.fit(FEATURES.metadata, seed=0).transform(FEATURES.metadata)
    assert encoded.var(axis=0).sum() <= 1 + 1e-9


def test_models_of_the_same_studies_and_seed_share_one_table(tmp_path: Path) -> None:
    fitted = StudyTable.fit(FEATURES.metadata, seed=0)
    fitted.save(tmp_path / "metadata.parquet", Provenance())
    assert StudyTable.load(tmp_path / "metadata.parquet") is fitted
    assert StudyTable.fit(FEATURES.metadata, seed=1) is not fitted
    assert StudyTable.fit(FEATURES.metadata.iloc[1:], seed=0) is not fitted


def test_a_table_that_nobody_uses_is_forgotten() -> None:
    table = weakref.ref(StudyTable.fit(FEATURES.metadata, seed=3))
    gc.collect()
    assert table() is None
