import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kitlib.errors import ArtefactError
from kitlib.inputs import slices
from kitlib.inputs.base import Resources
from kitlib.inputs.slices import SliceEncoder, SliceInput
from kitlib.machine import CLUSTER
from kitlib.mri.ledger import Ledger
from kitlib.terms import SEQUENCES
from tests.inputs.builders import make_studies

SPEC = SliceInput(48, "test_resnet", "random", 32, "whole", "greyscale")


@pytest.fixture(scope="module")
def encoder() -> SliceEncoder:
    return SPEC.encoder(Resources())


def test_an_encoder_knows_its_weights(encoder: SliceEncoder) -> None:
    backbone = encoder.backbone
    assert backbone.width > 0
    assert encoder.spec == dataclasses.replace(SPEC, sha256=backbone.source.sha256, width=backbone.width)
    assert encoder.spec.fingerprint != SPEC.fingerprint


def test_other_weights_than_those_recorded_are_refused(encoder: SliceEncoder) -> None:
    other = dataclasses.replace(encoder.spec, sha256="0" * 64).encoder(Resources())
    with pytest.raises(ArtefactError, match="not those of the embeddings"):
        _ = other.backbone


def test_what_shapes_a_vector_shapes_its_folder(encoder: SliceEncoder) -> None:
    spec = dataclasses.replace(encoder.spec, sha256="b")
    others = [
        dataclasses.replace(spec, **change)
        for change in ({"grey": "equalised"}, {"field_of_view": "middle"}, {"input_px": 64}, {"sha256": "a"})
    ]
    assert len({other.folder_name for other in (spec, *others)}) == 5
    assert dataclasses.replace(spec, weights="elsewhere.safetensors").folder_name == spec.folder_name


def test_weights_of_another_backbone_are_not_taken_over() -> None:
    profile = {"backbone": "resnet10t", "weights": "shipped", "grey": "equalised"}
    assert SliceInput().completed(profile).weights == "shipped"
    assert SliceInput(backbone="test_resnet").completed(profile).weights == ""


def test_the_store_holds_what_streaming_gives_and_is_asked_again(
    encoder: SliceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = make_studies(tmp_path / "volumes", monkeypatch)
    data = encoder.dataset(studies, tmp_path / "store")
    assert data.study_ids.tolist() == data.metadata.index.tolist() == [2, 1]
    assert data.present.tolist() == [[True, True, False], [True, True, True]]
    for row, study_id in enumerate(studies.study_ids):
        streamed = encoder.encode(studies.study(study_id), Ledger())
        pd.testing.assert_frame_equal(streamed.metadata, data.metadata.iloc[[row]], check_dtype=False)
        for sequence in SEQUENCES:
            ours, theirs = data.tokens[sequence][row], streamed.tokens[sequence][0]
            assert np.allclose(ours.vectors, theirs.vectors, atol=0.02)
            assert np.array_equal(ours.positions_mm, theirs.positions_mm)
    monkeypatch.setattr("kitlib.embed.engine.embed_series", pytest.fail)
    assert encoder.dataset(studies, tmp_path / "store").fingerprint == data.fingerprint


def test_workers_of_a_cluster_embed_the_same_bytes(
    encoder: SliceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = make_studies(tmp_path / "volumes", monkeypatch)
    encoder.dataset(studies, tmp_path / "here")
    sent = []

    def in_workers(calls: Any, *_: Any, **__: Any) -> list[Any]:
        sent.extend(pickle.loads(pickle.dumps(list(calls))))
        return [function(*arguments, **keywords) for function, arguments, keywords in sent]

    monkeypatch.setenv(CLUSTER, "tcp://nowhere:1")
    monkeypatch.setattr(slices, "SHARE", 2)
    monkeypatch.setattr(slices, "in_processes", in_workers)
    encoder.dataset(studies, tmp_path / "there")
    assert len(sent) == (len(studies.keys) + 1) // 2
    assert encoder not in {function.__self__ for function, _, _ in sent}
    here, there = (
        {path.relative_to(tmp_path / place): path.read_bytes() for path in (tmp_path / place).rglob("*.npy")}
        for place in ("here", "there")
    )
    assert len(here) == len(studies.keys)
    assert here == there


def test_metadata_tells_nothing_of_what_was_removed(
    encoder: SliceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoder.dataset(make_studies(tmp_path / "volumes", monkeypatch), tmp_path / "store")
    removed = np.zeros((2, 3), bool)
    removed[1, 2] = True
    left = data.without(removed)
    assert left.fingerprint != data.fingerprint
    changed = data.metadata.astype(object).ne(left.metadata.astype(object)) & ~(
        data.metadata.isna() & left.metadata.isna()
    )
    assert not changed.iloc[0].any()
    assert changed.iloc[1].any()
