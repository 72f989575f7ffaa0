from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from kitlib.artefacts import Provenance, facts_of, load_tensors, save_tensors
from kitlib.embed.backbone import load_backbone
from kitlib.embed.pretrain import slices as slice_task
from kitlib.embed.pretrain.slices import Slices, SliceTask
from kitlib.embed.pretrain.targets import AXIAL_PLACES, FINDINGS, PLACES, mirrored_findings
from kitlib.embed.pretrain.task import augmented
from kitlib.embed.pretrain.train import FIRST_STUDY_ID, cached_or_pretrained, pretrain, schedule_of
from kitlib.embed.pretrain.volumes import VolumeTask
from kitlib.embed.volumes import DEPTH
from kitlib.embed.weights import sources as weights
from kitlib.embed.weights.sources import find_weights
from kitlib.errors import UsageError, WeightsError
from kitlib.nn.loop import train
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.terms import CELL_NAMES, CELLS, EMPTY, LEVELS, mirrored_cells

PX = 32


@pytest.fixture(scope="module", autouse=True)
def drawn_once() -> Iterator[None]:
    """Trainings here share the same few phantoms, which no training changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kitlib.embed.pretrain.train.draw_study", cache(draw_study))
        yield


@pytest.fixture(scope="module")
def study() -> PhantomStudy:
    return draw_study(FIRST_STUDY_ID, seed=3, size="smoke")


@pytest.fixture(scope="module")
def slices(study: PhantomStudy) -> Slices:
    return SliceTask.examples_of(study, PX, "middle", 128)


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


def test_mirroring_twice_is_nothing_and_swaps_sides() -> None:
    assert np.array_equal(
        np.arange(len(FINDINGS))[mirrored_findings][mirrored_findings], np.arange(len(FINDINGS))
    )
    assert [FINDINGS[i] for i in mirrored_findings if FINDINGS[i].startswith("axial")] == [
        "axial spinal_canal_stenosis",
        "axial right_subarticular_stenosis",
        "axial left_subarticular_stenosis",
    ]


def test_augmented_images_are_grey_values_whose_columns_are_mirrored_on_request() -> None:
    images = np.zeros((40, 2, PX, PX), np.uint8)
    images[..., : PX // 4] = 200  # bright on the left
    mirror, rng = torch.arange(40) % 2 == 1, torch.Generator().manual_seed(0)
    grey = augmented(torch.from_numpy(images), mirror, rng).numpy()
    assert grey.shape == images.shape
    assert grey.min() >= 0
    assert grey.max() <= 255
    left, right = grey[..., : PX // 2].mean((1, 2, 3)), grey[..., PX // 2 :].mean((1, 2, 3))
    assert ((right > left) == (np.arange(40) % 2 == 1)).all()


def test_only_axial_slices_are_mirrored(slices: Slices, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.Tensor] = []
    monkeypatch.setattr(
        slice_task,
        "augmented",
        lambda images, mirror, rng: asked.append(mirror) or augmented(images, mirror, rng),
    )
    task = SliceTask(slices)
    inputs, truth = task.batch(np.arange(len(slices)), torch.Generator().manual_seed(0))
    assert task.loss(task.network("test_resnet", PX)(inputs), truth).isfinite()
    assert asked[0].any()
    assert not asked[0][~np.isin(slices.places, AXIAL_PLACES)].any()


@pytest.mark.parametrize("task", [SliceTask, VolumeTask], ids=["slices", "volumes"])
def test_without_a_generator_examples_are_as_they_are(
    task: type[SliceTask | VolumeTask], study: PhantomStudy
) -> None:
    examples = task.examples_of(study, PX, "middle", 128)
    (inputs, truth), (again, _) = (task(examples).batch(np.arange(len(examples)), None) for _ in range(2))
    findings = truth[0] if isinstance(truth, tuple) else truth
    assert torch.equal(inputs, again)
    np.testing.assert_array_equal(findings.severities.cpu(), examples.findings)


def test_the_findings_of_a_mirrored_volume_are_those_of_the_other_side(study: PhantomStudy) -> None:
    examples = VolumeTask.examples_of(study, PX, "middle", 128)
    _, mirrored = VolumeTask(examples).batch(np.arange(len(examples)), torch.Generator().manual_seed(1))
    truth = mirrored.severities.cpu().numpy()
    exchanged = (truth == examples.findings[:, mirrored_cells]).all(axis=1)
    assert ((truth == examples.findings).all(axis=1) | exchanged).all()
    assert exchanged.any()


def test_an_epoch_shows_every_narrow_slice_once(slices: Slices) -> None:
    rows = np.concatenate(SliceTask(slices).epoch(torch.Generator().manual_seed(0)))
    assert len(set(rows)) == len(rows)
    assert set(np.flatnonzero(slices.findings.max(axis=1) > 0)) <= set(rows)


def test_volumes_show_the_cells_of_their_sequence(study: PhantomStudy) -> None:
    volumes = VolumeTask.examples_of(study, PX, "middle", 128)
    assert volumes.images.shape == (sum(len(one.stacks) for one in study.series), DEPTH, PX, PX)
    sequences = [one.sequence for one in study.series for _ in one.stacks]
    for findings, openings_mm, sequence in zip(volumes.findings, volumes.openings_mm, sequences):
        shown = findings != EMPTY
        groups = {cell.group for cell, here in zip(CELLS, shown) if here}
        expected = {"Sagittal T1": {"foraminal"}, "Sagittal T2/STIR": {"spinal"}}
        assert groups <= expected.get(sequence, {"spinal", "subarticular"})
        assert np.array_equal(shown, np.isfinite(openings_mm))
        assert np.array_equal(findings[shown], study.severities[shown])
    assert (volumes.findings != EMPTY).any(axis=0).sum() >= 20


def pretrained(file: Path, *, epochs: int, seed: int, start: str = "") -> dict[str, float]:
    """Metrics of weights learned on two phantoms."""
    how = {"studies": 2, "backbone": "test_resnet", "input_px": PX, "size": "smoke", "workers": 1}
    return pretrain(file, epochs=epochs, seed=seed, start=start, **how)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a training that was not interrupted."""
    file = tmp_path_factory.mktemp("pretrained") / "test_resnet.safetensors"
    assert pretrained(file, epochs=2, seed=5) == facts_of(file)["metrics"]
    return file


@pytest.mark.slow
def test_pretraining_makes_weights_that_load(whole: Path) -> None:
    backbone = load_backbone("test_resnet", weights=str(whole))
    assert (backbone.input_px, backbone.field_of_view) == (PX, "middle")
    assert set(backbone.source.facts["metrics"]) == {
        "place accuracy", "canal", "foramen", "axial canal", "recess",
    }  # fmt: skip
    assert backbone.source.label == "phantoms, 2 studies x 2 epochs"
    assert "--backbone test_resnet --input-px 32 --view middle" in backbone.source.facts["command"]
    assert np.isfinite(backbone.embed(np.zeros((2, PX, PX), np.uint8))).all()


@pytest.mark.slow
def test_a_second_training_even_a_killed_one_ends_with_the_same_weights(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed.safetensors"

    def kill(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("kitlib.embed.pretrain.train.save_tensors", kill)
        with pytest.raises(KeyboardInterrupt):
            pretrained(killed, epochs=2, seed=5)
    assert pretrained(killed, epochs=2, seed=5) == facts_of(whole)["metrics"]
    tensors = load_tensors(killed)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in load_tensors(whole).items())
    assert not list(tmp_path.glob("*unfinished*"))


@pytest.fixture
def forbid_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kitlib.embed.pretrain.train.drawn", lambda *_: pytest.fail("phantoms were drawn"))


@pytest.mark.usefixtures("forbid_drawing")
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"studies": 0}, "studies is 0"),
        ({"studies": 1}, "studies is 1.*at least 2"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"input_px": 0}, "input_px is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"field_of_view": "nonsense"}, "'nonsense'.*whole, middle"),
        ({"backbone": "test_vit", "input_px": 100}, "test_vit cannot read 100 pixels"),
        ({"backbone": "ct_resnet152"}, "ct_resnet152 cannot be trained into"),
    ],
)
def test_what_nothing_can_come_of_is_refused_before_drawing(tmp_path: Path, asked: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pretrain(tmp_path / "a.safetensors", **{"studies": 2, "epochs": 1, "backbone": "test_resnet"} | asked)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("forbid_drawing")
def test_a_start_that_does_not_fit_is_known_before_the_phantoms(tmp_path: Path) -> None:
    how = {"studies": 2, "epochs": 1, "backbone": "test_resnet", "input_px": PX}
    other = tmp_path / "other.safetensors"
    save_tensors(other, {"x": torch.zeros(1)}, Provenance())
    with pytest.raises(WeightsError, match="another architecture"):
        pretrain(tmp_path / "a.safetensors", start=str(other), **how)
    with pytest.raises(WeightsError, match="is missing"):
        pretrain(tmp_path / "a.safetensors", start=str(tmp_path / "nowhere.safetensors"), **how)
    assert list(tmp_path.glob("a.*")) == []


@pytest.mark.usefixtures("forbid_drawing")
@pytest.mark.parametrize("with_sidecar", [True, False])
def test_a_file_that_no_training_has_made_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_sidecar: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "online", lambda: False)
    own = weights.cache_dir() / "test_resnet.safetensors"
    save_tensors(own, {"x": torch.zeros(1)}, Provenance())  # as `convert` does
    if not with_sidecar:
        own.with_name(own.name + ".json").unlink()
    before = own.read_bytes()
    with pytest.raises(UsageError, match=r"not made by a training .*test_resnet\.safetensors"):
        pretrain(own, studies=2, epochs=1, backbone="test_resnet", input_px=PX)
    if not with_sidecar:
        with pytest.raises(WeightsError, match="without the kit's sidecar"):
            cached_or_pretrained("test_resnet", studies=2, epochs=1)
    assert own.read_bytes() == before


def test_what_cannot_be_used_later_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be trained into"):
        pretrain(tmp_path / "a.pth", studies=2, epochs=1, backbone="test_resnet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("epochs", range(1, 12))
def test_any_number_of_steps_has_a_schedule(slices: Slices, epochs: int) -> None:
    few = SliceTask(slices.take(np.flatnonzero(slices.findings.max(axis=1) > 0)[:2]))
    network = SliceTask.network("test_resnet", PX)
    curve = train(network, few, few.loss, schedule_of(SliceTask, epochs), seed=0)
    assert len(curve) == epochs + 1
    assert np.isfinite([row["train_loss"] for row in curve[1:]]).all()


@pytest.mark.slow
def test_pretraining_goes_on_from_weights(whole: Path, tmp_path: Path) -> None:
    second, fresh = (tmp_path / f"{name}.safetensors" for name in ("second", "fresh"))
    pretrained(second, epochs=1, seed=6, start=str(whole))
    pretrained(fresh, epochs=1, seed=6)
    begun, gone_on, anew = (load_tensors(file)["conv1.0.weight"].float() for file in (whole, second, fresh))
    assert (gone_on - begun).abs().mean() < (anew - begun).abs().mean() / 2
    label = find_weights("test_resnet", str(second)).label
    assert label == "phantoms, 2 studies x 1 epochs, after phantoms, 2 studies x 2 epochs"


@pytest.mark.slow
def test_a_volume_network_learns_on_phantoms_too(tmp_path: Path) -> None:
    pytest.importorskip("monai")
    file = tmp_path / "a.safetensors"
    how = {"studies": 2, "epochs": 1, "seed": 5, "input_px": PX, "size": "smoke", "workers": 1}
    metrics = pretrain(file, backbone="medicalnet_resnet10", **how)
    assert set(metrics) == {"spinal", "foraminal", "subarticular"}
    backbone = load_backbone("medicalnet_resnet10", weights=str(file))
    assert np.isfinite(backbone.embed(np.full((1, DEPTH, PX, PX), 9, np.uint8))).all()


def test_weights_are_trained_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "online", lambda: False)
    trainings: list[int] = []

    def train(out: Path, *, studies: int, epochs: int, stop: int = 9, **_: object) -> None:
        trainings.append(epochs)
        parameters = {"studies": studies, "epochs": epochs}
        save_tensors(out, {"x": torch.zeros(1)}, Provenance(parameters), epoch=min(stop, epochs))

    monkeypatch.setattr("kitlib.embed.pretrain.train.pretrain", train)
    train(tmp_path / "kitlib/weights/test_resnet.safetensors", studies=3, epochs=4, stop=2)  # interrupted
    for _ in range(2):
        source = cached_or_pretrained("test_resnet", studies=3, epochs=5, workers=1)
        assert (source.kind, source.label) == ("cached", "phantoms, 3 studies x 5 epochs")
    assert trainings == [4, 5]
    assert "3 studies x 5 epochs" in capsys.readouterr().out
    assert cached_or_pretrained("test_resnet", studies=3, epochs=6).label == "phantoms, 3 studies x 5 epochs"
    assert trainings == [4, 5]
    assert "fewer than 3 studies x 6 epochs" in capsys.readouterr().out
    save_tensors(tmp_path / "kitlib/weights/test_vit.safetensors", {"x": torch.zeros(1)}, Provenance())
    assert cached_or_pretrained("test_vit", studies=3, epochs=5).label == "cached: test_vit.safetensors"
    assert cached_or_pretrained("resnet10t", studies=3, epochs=5).kind == "shipped"
