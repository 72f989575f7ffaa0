from pathlib import Path

import numpy as np
import pytest

from kitlib.competition.root import Competition, find_root
from kitlib.errors import DataError
from kitlib.localise.audit.annotated import annotated_pool
from kitlib.localise.network import load_networks
from kitlib.localise.train.heatmaps import finetune, train_localiser
from kitlib.localise.train.samples import PLANES, Pool
from kitlib.phantom.archive import write_competition

WIDTHS = dict.fromkeys(PLANES, (4, 6))


@pytest.fixture(scope="module")
def competition(tmp_path_factory) -> Competition:
    out = tmp_path_factory.mktemp("phantoms")
    return find_root(write_competition(out, studies=2, test_studies=0, seed=4, size="smoke", missing_rate=0))


@pytest.fixture(scope="module")
def pools(competition: Competition) -> dict[str, Pool]:
    return {plane: annotated_pool(competition, plane, each=4) for plane in PLANES}


def test_marked_levels_are_seen_and_unmarked_ones_unknown(pools: dict[str, Pool]) -> None:
    visibility = pools["sagittal"].visibility
    assert np.isnan(visibility[:, [0, 6]]).all()
    assert (np.nanmax(visibility[:, 1:6], axis=0) == 1).all()
    assert (np.nanmax(visibility[:, 7:], axis=0) == 1).all()
    assert np.nanmax(pools["axial"].visibility) == 1


def test_levels_follow_each_other_down_the_image(pools: dict[str, Pool]) -> None:
    pool = pools["sagittal"]
    shown = (pool.visibility[:, 1:6] == 1).all(axis=1)
    assert shown.any()
    assert (np.diff(pool.places[shown, 1:6, 1], axis=1) > 0).all()


def test_left_lies_right_in_axial_images(pools: dict[str, Pool]) -> None:
    pool = pools["axial"]
    both = (pool.visibility == 1).all(axis=1)
    assert (pool.places[both, 0, 0] > pool.places[both, 1, 0]).all()


def test_a_mended_table_replaces_the_folders_own(competition: Competition) -> None:
    points = competition.landmarks()
    one = points[points["study_id"] == points["study_id"].iloc[0]]
    assert len(set(annotated_pool(competition, "sagittal", points=one, each=1).persons)) == 1
    with pytest.raises(DataError, match="no sagittal slice"):
        annotated_pool(competition, "sagittal", points=one.assign(study_id=1))


@pytest.mark.slow
def test_networks_are_tuned_to_a_folder(
    tmp_path: Path, competition: Competition, pools: dict[str, Pool]
) -> None:
    start, out = tmp_path / "start.safetensors", tmp_path / "tuned.safetensors"
    train_localiser(start, pools, epochs=1, widths=WIDTHS)
    metrics = finetune(start, competition, out, epochs=1, phantoms=pools)
    assert set(metrics) == set(load_networks(out)) == set(PLANES)
