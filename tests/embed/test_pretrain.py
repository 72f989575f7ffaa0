from pathlib import Path

import numpy as np
import pytest

from kitlib.embed.backbone import load_backbone
from kitlib.embed.pretrain import FIRST_STUDY_ID, augmented, epoch_batches, pretrain
from kitlib.embed.targets import AXIAL_PLACES, FINDINGS, PLACES, Slices, mirrored_findings, study_slices
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.terms import CELL_NAMES, EMPTY, LEVELS

PX = 32


@pytest.fixture(scope="module")
def study() -> PhantomStudy:
    return draw_study(FIRST_STUDY_ID, seed=3, size="smoke")


@pytest.fixture(scope="module")
def slices(study: PhantomStudy) -> Slices:
    return study_slices(study, PX, "middle", 128)


def test_every_slice_has_targets(study: PhantomStudy, slices: Slices) -> None:
    count = sum(len(stack) for series in study.series for stack in series.stacks)
    assert slices.images.shape == (count, PX, PX)
    assert slices.findings.shape == slices.openings_mm.shape == (count, len(FINDINGS))
    assert np.array_equal(slices.findings != EMPTY, np.isfinite(slices.openings_mm))
    assert set(np.unique(slices.places)) <= set(range(len(PLACES)))


def test_findings_are_true_severities_of_what_a_slice_shows(study: PhantomStudy, slices: Slices) -> None:
    truth = dict(zip(CELL_NAMES, study.severities))
    for level, name in enumerate(LEVELS):
        canal = slices.findings[:, level]
        assert set(canal[canal != EMPTY]) == {truth[f"spinal_canal_stenosis_{name}"]}
        here = slices.findings[slices.places == PLACES.index(f"axial at {name}")]
        assert set(here[:, 11]) - {EMPTY} <= {truth[f"left_subarticular_stenosis_{name}"]}


def test_only_axial_slices_are_mirrored_and_mirroring_twice_is_nothing(slices: Slices) -> None:
    images, mirror = augmented(slices, np.random.default_rng(0))
    assert images.shape == (len(slices), 3, PX, PX)
    assert mirror.any()
    assert not mirror[~np.isin(slices.places, AXIAL_PLACES)].any()
    assert np.array_equal(
        np.arange(len(FINDINGS))[mirrored_findings][mirrored_findings], np.arange(len(FINDINGS))
    )
    assert [FINDINGS[i] for i in mirrored_findings if FINDINGS[i].startswith("axial")] == [
        "axial spinal_canal_stenosis",
        "axial right_subarticular_stenosis",
        "axial left_subarticular_stenosis",
    ]


def test_an_epoch_shows_every_narrow_slice_once(slices: Slices) -> None:
    rows = np.concatenate(epoch_batches(slices, np.random.default_rng(0)))
    assert len(set(rows)) == len(rows)
    assert set(np.flatnonzero(slices.findings.max(axis=1) > 0)) <= set(rows)


def test_pretraining_makes_weights_that_load_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    vectors = []
    for name in ("one", "two"):
        file = tmp_path / name / "test_resnet.safetensors"
        metrics = pretrain(
            file, studies=2, epochs=1, seed=5, backbone="test_resnet", input_px=PX, size="smoke", workers=1
        )
        assert set(metrics) == {"place accuracy", "canal", "foramen", "axial canal", "recess"}
        backbone = load_backbone("test_resnet", weights=str(file))
        assert (backbone.input_px, backbone.view, backbone.source.facts["metrics"]) == (PX, "middle", metrics)
        assert backbone.source.facts["epoch"] == 1
        vectors.append(backbone.embed(np.random.default_rng(0).integers(0, 256, (2, PX, PX), dtype=np.uint8)))
    assert np.array_equal(*vectors)
