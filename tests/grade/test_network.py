"""The grader's network: slice order does not matter, absent slices have no effect, and it saves and loads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import Provenance, save_tensors
from kitlib.errors import ArtefactError, WeightsError
from kitlib.grade.calibration import EVEN, Calibration
from kitlib.grade.network import (
    SHIPPED,
    Grader,
    StudyBatch,
    StudyNet,
    ViewBatch,
    calibration_of,
    load_network,
    save_network,
    with_views_dropped,
)
from kitlib.nn.weights import in_half
from kitlib.prepare.views import SLOTS, VIEW_PX, VIEWS
from kitlib.terms import CELLS


@pytest.fixture(scope="module")
def network() -> StudyNet:
    torch.manual_seed(0)
    return StudyNet().eval()


@pytest.fixture(scope="module")
def grader(network: StudyNet) -> Grader:
    return Grader(network.views)


def some_views(count: int, slices: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, slices, VIEW_PX, VIEW_PX), np.uint8)
    views = np.arange(count) % len(VIEWS)
    return images, np.ones((count, slices), bool), views, np.zeros(count, int)


def test_grades_are_probabilities_and_millimetres(grader: Grader) -> None:
    probabilities, openings_mm = grader.grade(*some_views(7, 2))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (openings_mm >= 0).all()
    assert np.isfinite(openings_mm).all()


def test_a_batch_grades_as_each_alone(grader: Grader) -> None:
    views = some_views(5, 1)
    together = grader.grade(*views)
    alone = [grader.grade(*(part[k : k + 1] for part in views)) for k in range(5)]
    for number, found in enumerate(together):
        np.testing.assert_allclose(found, np.concatenate([one[number] for one in alone]), atol=1e-4)


def test_absent_slices_and_the_order_of_slices_do_not_matter(grader: Grader) -> None:
    images, present, *views = some_views(4, 3)
    present[:, 2] = False
    expected, _ = grader.grade(images[:, :2], present[:, :2], *views)
    np.testing.assert_allclose(grader.grade(images, present, *views)[0], expected, atol=1e-4)
    turned, _ = grader.grade(images[:, ::-1].copy(), present[:, ::-1].copy(), *views)
    np.testing.assert_allclose(turned, expected, atol=1e-4)


def test_each_kind_of_view_has_a_head_of_its_own(grader: Grader) -> None:
    images, present, _, cells = some_views(1, 1)
    found = [grader.grade(images, present, np.array([number]), cells)[1][0] for number in range(len(VIEWS))]
    assert len(np.unique(found)) > 1


def test_no_view_gives_no_grade(grader: Grader) -> None:
    probabilities, openings_mm = grader.grade(*some_views(0, 1))
    assert probabilities.shape == (0, 3)
    assert openings_mm.shape == (0,)


def test_a_study_is_told_by_its_own_views_alone(network: StudyNet) -> None:
    images, present, *_ = some_views(6, 1)
    slots = torch.tensor([0, 5, 20, 0, 5, 20])
    views = ViewBatch(
        torch.from_numpy(images).float() / 255,
        torch.from_numpy(present),
        torch.tensor([SLOTS[slot].view for slot in slots]),
    )
    with torch.inference_mode():
        both = network(StudyBatch(views, torch.tensor([0, 0, 0, 2, 2, 2]), slots, 3)).cells
        first = ViewBatch(*(part[:3] for part in views))
        alone = network(StudyBatch(first, torch.zeros(3, dtype=torch.int64), slots[:3], 1)).cells
        none = network(StudyBatch(ViewBatch(*(part[:0] for part in views)), slots[:0], slots[:0], 1)).cells
    torch.testing.assert_close(both[0], alone[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(both[1], none[0], atol=1e-4, rtol=0)
    assert not torch.allclose(both[0], both[2], atol=1e-4)


def test_views_are_dropped_one_by_one_and_by_sequence() -> None:
    rng = torch.Generator().manual_seed(0)
    left = with_views_dropped(torch.ones(400, len(SLOTS), dtype=torch.bool), rng)
    axial = torch.tensor([VIEWS[slot.view].sequence == "Axial T2" for slot in SLOTS])
    lost = ~left[:, axial].any(dim=1)
    assert 0.1 < lost.float().mean() < 0.2
    assert 0.05 < (~left[:, axial][~lost]).float().mean() < 0.15


def test_a_file_keeps_a_network_in_half_precision(tmp_path: Path, network: StudyNet, grader: Grader) -> None:
    file = tmp_path / "grader.safetensors"
    save_network(file, network, Provenance())
    kept = Grader.load(file)
    np.testing.assert_allclose(
        kept.grade(*some_views(3, 1))[0], grader.grade(*some_views(3, 1))[0], atol=0.02
    )
    assert file.stat().st_size < 15e6


def test_severities_weigh_by_how_often_they_are(network: StudyNet, grader: Grader) -> None:
    """If severe is twice as frequent relative to normal as in training, its odds are doubled."""
    usual = np.tile([0.25, 0.25, 0.5], (len(CELLS), 1))
    images, present, views, cells = some_views(5, 1)
    plain, plain_mm = grader.grade(images, present, views, cells)
    weighed, weighed_mm = Grader(network.views, Calibration(EVEN, usual)).grade(images, present, views, cells)
    odds, expected = weighed[:, 2] / weighed[:, 0], 2 * plain[:, 2] / plain[:, 0]
    np.testing.assert_allclose(odds, expected, rtol=1e-6)
    np.testing.assert_array_equal(weighed_mm, plain_mm)


def test_a_file_keeps_its_calibration_and_one_without_is_refused(tmp_path: Path, network: StudyNet) -> None:
    file = tmp_path / "grader.safetensors"
    usual = np.tile([0.7, 0.2, 0.1], (len(CELLS), 1))
    save_network(file, network, Provenance(), Calibration(EVEN, usual, 1.3))
    kept = calibration_of(file)
    np.testing.assert_allclose(kept.usual, usual)
    assert kept.temperature == 1.3
    save_tensors(file, in_half(network), Provenance(), backbone=network.backbone)
    with pytest.raises(WeightsError, match="no calibration"):
        Grader.load(file)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "grader.safetensors"
    other = StudyNet()
    other.backbone = "resnet18"
    save_network(file, other, Provenance())
    with pytest.raises(WeightsError, match="does not fit"):
        load_network(file)


def test_a_missing_or_altered_file_is_refused(tmp_path: Path, network: StudyNet) -> None:
    file = tmp_path / "grader.safetensors"
    with pytest.raises(ArtefactError):
        load_network(file)
    save_network(file, network, Provenance())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtefactError):
        load_network(file)


def test_the_shipped_weights_say_how_they_were_made() -> None:
    from kitlib.artefacts import facts_of

    facts = facts_of(SHIPPED)
    assert facts["command"].startswith("python -m kitlib grader train")
    assert facts["metrics"]["foramen on Sagittal T1: AUC"] > 0.9
    assert SHIPPED.stat().st_size < 15e6
