"""Heads on frozen features: no study on both sides, and features that encode severity rank it."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.embed.backbone import load_backbone
from kitlib.embed.slices import Backbone
from kitlib.errors import WeightsError
from kitlib.grade import probe as module
from kitlib.grade.labelled import read_labelled
from kitlib.grade.probe import (
    FEATURES,
    backbone_vectors,
    drawn_places,
    evenly,
    grader_vectors,
    judged_head,
    probe_table,
    split_by_study,
)
from kitlib.grade.samples import ViewSamples
from tests.grade.labels import labelled_table

STUDIES = 12


class Flat(module.VolumeBackbone):
    input_px, width = 8, 2

    def __init__(self) -> None: ...

    def embed(self, inputs: np.ndarray) -> np.ndarray:
        assert inputs.shape[1:] == (24, 8, 8)
        each = [inputs.mean(axis=(1, 2, 3)), inputs.std(axis=(1, 2, 3))]
        return np.repeat(np.transpose(each).astype(np.float32), 3, axis=0)  # three tokens per volume


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_table(tmp_path_factory.mktemp("labels"), studies=STUDIES)


@pytest.fixture(scope="module")
def samples(file: Path) -> ViewSamples:
    return read_labelled(file).samples


def test_no_study_is_learnt_from_and_judged() -> None:
    studies = np.repeat(np.arange(20), 5)
    for seed in range(3):
        learnt, judged = split_by_study(studies, 0.4, seed)
        assert not set(studies[learnt]) & set(studies[judged])
        assert len(set(studies[judged])) == 8
        assert len(learnt) + len(judged) == len(studies)


def test_places_are_drawn_evenly_over_the_studies_and_always_the_same(samples: ViewSamples) -> None:
    """Of the five places per view and study, three are drawn from every study but one."""
    few = evenly(samples, 3 * STUDIES - 1)
    for view in np.unique(samples.views):
        counts = np.bincount(few.persons[few.views == view], minlength=STUDIES)
        assert sorted(counts) == [2] + [3] * (STUDIES - 1)
    assert np.array_equal(few.images, evenly(samples, 3 * STUDIES - 1).images)
    whole = evenly(samples, len(samples))
    assert np.array_equal(whole.images, samples.images)


def test_it_is_said_how_many_places_were_drawn_of_how_many(file: Path) -> None:
    samples, lines = drawn_places(file, 20)
    assert lines == [
        f"{view}: 20 of 60 places, of 12 studies" for view in ("canal on Axial T2", "foramen on Sagittal T1")
    ]
    assert len(samples) == 40


def test_features_that_tell_the_severity_rank_it_and_noise_does_not(samples: ViewSamples) -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(len(samples), 6))
    telling = noise + 5 * samples.severities[:, None]
    assert judged_head(samples, telling, 0)["auc"] == 1
    assert judged_head(samples, telling, 0)["loss"] < judged_head(samples, noise, 0)["loss"]
    assert judged_head(samples, noise, 0)["auc"] < 0.8


@pytest.mark.parametrize("studies", range(1, 9))
@pytest.mark.parametrize("severe", [0, 1, 2])
def test_few_studies_or_severities_are_judged_or_told_as_unknown(
    samples: ViewSamples, studies: int, severe: int
) -> None:
    """Places of one view, severe in some studies and normal in the others."""
    few = samples.take((samples.persons < studies) & (samples.views == samples.views[0]))
    few = dataclasses.replace(few, severities=np.where(few.persons < severe, 2, 0))
    vectors = np.random.default_rng(0).normal(size=(len(few), 6))
    found = [judged_head(few, vectors, seed) for seed in range(4)]
    for one in found:
        assert one.keys() == module.UNKNOWN.keys()
        assert np.isnan(one["loss"]) == (one["places"] == 0)
    if studies < 4 or not severe:
        assert {one["places"] for one in found} == {0}
    rows = [{"view": "canal", "features": "grader", **one} for one in found]
    assert len(probe_table(pd.DataFrame(rows))) == 1


def test_what_reads_volumes_is_refused_where_no_place_has_several_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.read_csv(file := labelled_table(tmp_path, studies=2))
    table[table["place"] == "foramen"].to_csv(file, index=False)
    monkeypatch.setattr(module, "load_backbone", lambda *_, **__: Flat())
    with pytest.raises(WeightsError, match="no place has several slices"):
        module.probe(read_labelled(file).samples, "ct_resnet152", seeds=1)


def test_a_view_has_one_vector_whatever_its_slices(samples: ViewSamples) -> None:
    backbone = load_backbone("test_resnet", weights="random", input_px=32)
    few = samples.take(np.arange(4))
    vectors = backbone_vectors(few, backbone)
    assert vectors.shape == (4, backbone.width)
    one_by_one = [backbone_vectors(few.take(np.array([row])), backbone)[0] for row in range(4)]
    assert np.allclose(vectors, one_by_one, atol=1e-4)
    assert set(few.present.sum(axis=1)) == {1, 3}
    assert grader_vectors(few).shape[0] == 4


@pytest.mark.slow
def test_what_reads_volumes_is_asked_about_views_of_several_slices_alone(
    samples: ViewSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: dict[str, Backbone] = {"ct_resnet152": Flat()}
    monkeypatch.setattr(module, "load_backbone", lambda name, **_: loaded[name])
    probed = module.probe(samples, "ct_resnet152", seeds=2)
    assert set(probed["view"]) == {"canal on Axial T2"}
    assert probed["seed"].tolist() == [0, 1]
    (row,) = probe_table(probed).to_dict("records")
    assert row["auc"].startswith(f"{probed['auc'].mean():.3f} (")


def test_features_come_with_their_weights() -> None:
    assert FEATURES["tf_efficientnet_lite0"] == "imagenet"
    assert probe_table(pd.DataFrame({"view": [], "features": []})).empty
