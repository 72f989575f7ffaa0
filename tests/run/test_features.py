import dataclasses

import numpy as np
import pytest

from kitlib.artefacts import load_json, save_json, save_table
from kitlib.embed.backbone import load_backbone
from kitlib.errors import ArtefactError
from kitlib.predict.predictor import embedding_record
from kitlib.prepare.tabular import study_metadata
from kitlib.run import features as module
from kitlib.run.features import embedded_features, volume_cache
from kitlib.run.profiles import profile_named
from kitlib.run.settings import Settings
from kitlib.run.steps import STEPS
from kitlib.terms import SEQUENCES
from tests.run.finished import LONGEST_PX, MADE, make_data

PROFILE = dataclasses.replace(profile_named("smoke"), weights="random", longest_px=LONGEST_PX, workers=1)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(PROFILE.backbone, weights="random", input_px=32)


@pytest.fixture
def settings(tmp_path, backbone, monkeypatch):
    """A session that has the tables of steps 2 and 3, and none of their caches."""
    monkeypatch.setattr(module, "load_backbone", lambda *_, **__: backbone)
    work, data = tmp_path / "work", make_data(tmp_path / "data")
    settings = Settings(STEPS[3], PROFILE, data, work, 0.0)
    save_table(work / "02_preprocessing" / "series.parquet", data.series("train"), MADE)
    metadata = study_metadata(data.train_labels().index, data.series("train"), volume_cache(settings).stacks)
    save_table(work / "02_preprocessing" / "metadata.parquet", metadata, MADE)
    record = embedding_record(backbone, longest_px=LONGEST_PX, greys=["greyscale"])
    save_json(work / "03_embeddings" / "embedding.json", record, MADE)
    return settings


def test_a_lost_store_is_made_again_and_then_left_alone(settings, monkeypatch):
    study_ids = settings.competition.train_labels().index
    first = embedded_features(settings, study_ids, "greyscale")
    assert all(len(tokens) for sequence in SEQUENCES for tokens in first.tokens[sequence])

    def refuse(*_, **__):
        raise AssertionError("embedded again")

    monkeypatch.setattr(module, "embed_series", refuse)
    again = embedded_features(settings, study_ids, "greyscale")
    np.testing.assert_array_equal(
        again.tokens[SEQUENCES[0]][0].vectors, first.tokens[SEQUENCES[0]][0].vectors
    )


def test_weights_that_have_become_others_are_refused(settings):
    path = settings.work_dir / "03_embeddings" / "embedding.json"
    save_json(path, {**load_json(path), "weights_sha256": "0" * 64}, MADE)
    with pytest.raises(ArtefactError, match="not those of 03_embeddings"):
        embedded_features(settings, settings.competition.train_labels().index, "greyscale")
