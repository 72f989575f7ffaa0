"""The learning curve over labels: training studies are never evaluated on, and points are made once."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.errors import UsageError
from kitlib.grade import curve
from kitlib.grade.curve import Point, curve_page, curve_table, drawn_studies, label_curve, points_of
from kitlib.grade.labelled import read_labelled
from kitlib.grade.network import StudyNet
from kitlib.grade.samples import ViewSamples
from tests.grade.labels import labelled_table


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_table(tmp_path_factory.mktemp("labels"), studies=10)


@pytest.fixture(scope="module")
def samples(file: Path) -> ViewSamples:
    """Only the first five studies have axial images."""
    found = read_labelled(file).samples
    return found.take((found.views != 1) | (found.persons < 5))


def test_what_is_learnt_from_grows_and_is_never_judged(samples: ViewSamples) -> None:
    for seed in range(5):
        smaller, rest = drawn_studies(samples, 2, seed)
        larger, same_rest = drawn_studies(samples, 5, seed)
        assert (rest == same_rest).all()
        assert (larger >= smaller).all()
        assert not set(samples.persons[larger]) & set(samples.persons[rest])
        assert len(set(samples.persons[rest])) == 4
        foramina = samples.views == 2
        assert len(set(samples.persons[smaller & foramina])) == 2
        assert len(set(samples.persons[larger & foramina])) == 5
        axial = larger & ~foramina
        others = set(samples.persons[~foramina]) - set(samples.persons[rest])
        assert set(samples.persons[axial]) == others
    assert (drawn_studies(samples, 5, 0)[1] != drawn_studies(samples, 5, 1)[1]).any()


def test_more_studies_than_there_are_is_an_error(samples: ViewSamples) -> None:
    with pytest.raises(UsageError, match=r"7 studies to learn from are asked for, of 6.*40% of"):
        drawn_studies(samples, 7, 0)


def test_points_are_starts_by_sizes_by_seeds() -> None:
    points = points_of(["shipped", "nothing"], [4, 2], 2)
    assert points[:5] == [
        Point("shipped", 0, 0), Point("shipped", 2, 0), Point("shipped", 4, 0), Point("nothing", 2, 0),
        Point("nothing", 4, 0),
    ]  # fmt: skip
    assert {point.seed for point in points[5:]} == {1}
    for asked in ((["scratch"], [2], 1), ([], [2], 1), (["nothing"], [1], 1), (["nothing"], [2], 0)):
        with pytest.raises(UsageError, match="no curve"):
            points_of(*asked)


@pytest.mark.slow
def test_a_curve_is_made_once_and_told(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve, "started", lambda _: StudyNet("test_resnet"))
    points = points_of(["nothing"], [2, 4], 2)
    rows = label_curve(file, tmp_path, points, epochs=1)
    assert len(rows) == 4 * 2
    assert set(rows["view"]) == {"foramen on Sagittal T1", "canal on Axial T2"}
    assert rows["learnt"].tolist() == rows["asked"].tolist()
    assert (rows["places"] == 20).all()
    assert np.isfinite(rows[["loss", "auc", "scaled", "prior"]].to_numpy(float)).all()

    monkeypatch.setattr(curve, "tuned", None)  # would raise if called
    pd.testing.assert_frame_equal(label_curve(file, tmp_path, points, epochs=1), rows)
    means = curve_table(rows)
    assert len(means) == 4
    assert (means["seeds"] == 2).all()
    assert (means["scaled"].between(means["scaled_min"], means["scaled_max"])).all()
    page = curve_page(means).splitlines()
    assert len(page) == 6
    assert "| canal on Axial T2 | nothing | 2 | " in page[2] + page[3]
    with pytest.raises(TypeError):
        label_curve(file, tmp_path, points, epochs=2)


def test_what_lies_there_is_told_unless_it_began_with_other_weights(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve, "started", lambda _: StudyNet("test_resnet"))
    label_curve(file, tmp_path, [Point("shipped", 0, 0)])
    both = label_curve(file, tmp_path, [Point("shipped", 0, 1)])
    assert both["seed"].tolist() == [0, 0, 1, 1]
    monkeypatch.setattr(curve, "fingerprint_of_start", lambda _: "other weights")
    assert label_curve(file, tmp_path, [Point("shipped", 0, 1)])["seed"].tolist() == [1, 1]
    assert len(list((tmp_path / "points").glob("*.json.json"))) == 3
