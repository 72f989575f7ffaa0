import tempfile
import time
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from kitlib.artefacts import Provenance, save_tensors
from kitlib.embed.backbone import build_network, load_backbone
from kitlib.embed.weights import sources as weights
from kitlib.embed.weights.sources import (
    cache_dir,
    file_name,
    find_weights,
    load_strictly,
    look_for_weights,
    online,
    shipped_backbones,
)
from kitlib.errors import ArtefactError, UsageError, WeightsError

SMALL = "test_resnet"  # timm's own for tests, 0.5 M parameters


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr(weights, "online", lambda: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return timm.create_model(SMALL).state_dict()


def attach(folder: Path, tensors: dict[str, torch.Tensor], name: str = f"{SMALL}.safetensors") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.clone() for key, value in tensors.items()}, file)
    return file


def test_a_path_given_comes_before_an_attached_folder(tmp_path: Path, tensors: dict) -> None:
    attached = attach(tmp_path / "deep" / "attached", tensors)
    given = attach(tmp_path, tensors, "mine.safetensors")
    assert find_weights(SMALL, str(given), tmp_path / "deep").kind == "path"
    found = find_weights(SMALL, attached_dir=tmp_path / "deep")
    assert (found.kind, found.file) == ("attached", attached)


def test_attached_files_may_be_named_as_on_the_hub(tmp_path: Path, tensors: dict) -> None:
    file = attach(tmp_path, tensors, f"{SMALL}/model.safetensors")
    assert find_weights(SMALL, attached_dir=tmp_path).file == file


def test_the_hub_comes_before_the_cache_and_the_cache_before_what_is_shipped(
    tmp_path: Path, tensors: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded = attach(tmp_path, tensors)
    monkeypatch.setattr(weights, "SHIPPED_DIR", tmp_path)
    assert find_weights(SMALL).kind == "shipped"
    save_tensors(cache_dir() / file_name(SMALL), tensors, Provenance())
    assert find_weights(SMALL).kind == "cached"
    monkeypatch.setattr(weights, "_from_hub", lambda _: downloaded)
    assert find_weights(SMALL).kind == find_weights(SMALL).label == "hub"
    assert find_weights(SMALL, "shipped").kind == "shipped"
    assert find_weights(SMALL, "cached").kind == "cached"


@pytest.mark.parametrize("asked", ["auto", "cached"])
@pytest.mark.parametrize("beside", [None, "{"])
def test_a_file_in_the_cache_without_a_sidecar_is_neither_used_nor_taken_for_none(
    tensors: dict, asked: str, beside: str | None
) -> None:
    """It may be from an unfinished training, which writes the sidecar last, or copied there by hand."""
    file = attach(cache_dir(), tensors, file_name(SMALL))
    if beside:
        file.with_name(file.name + ".json").write_text(beside)
    with pytest.raises(WeightsError, match=r"without the kit's sidecar .*Delete it if .*attach its folder"):
        look_for_weights(SMALL, asked)
    if not beside:
        assert (
            find_weights(SMALL, str(file)).file == find_weights(SMALL, attached_dir=cache_dir()).file == file
        )


def test_on_kaggle_the_cache_is_a_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir().parts[-2:] == ("kitlib", "weights")
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert cache_dir() == Path(tempfile.gettempdir()) / "kitlib" / "weights"


def test_weights_of_the_kit_say_in_a_few_words_what_they_are() -> None:
    assert find_weights("resnet10t", "shipped").label == "phantoms, 700 studies x 12 epochs"
    assert find_weights(SMALL, "random").label == "random"


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", bytes(8)])
def test_a_file_that_is_cut_short_is_an_error_of_the_kit(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cut.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="cut short or altered"):
        load_backbone(SMALL, weights=str(tmp_path / "cut.safetensors"))


def test_without_weights_there_is_an_error_and_never_a_random_network(tmp_path: Path) -> None:
    for asked in ("auto", "hub", "cached", "shipped"):
        with pytest.raises(WeightsError, match=f"weights train --backbone {SMALL} .*'random' by that name"):
            load_backbone(SMALL, weights=asked, attached_dir=tmp_path)
    assert load_backbone(SMALL, weights="random").source.kind == "random"


def test_offline_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    started = time.monotonic()
    assert not online.__wrapped__()
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".pt"])
def test_pickles_are_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"{SMALL}{suffix}"
    file.write_bytes(b"anything")
    with pytest.raises(WeightsError, match="run code") as named:
        find_weights(SMALL, str(file))
    with pytest.raises(WeightsError, match="pickle") as attached:
        find_weights(SMALL, attached_dir=tmp_path)
    for error in (named.value, attached.value):
        assert f"convert {file.name} {SMALL}.safetensors" in error.hint  # in tables, without paths
        assert str(tmp_path) not in error.what + error.hint


def test_a_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.safetensors"):
        find_weights(SMALL, str(tmp_path / "absent.safetensors"))
    with pytest.raises(WeightsError, match="nowhere"):
        find_weights(SMALL, attached_dir=tmp_path / "nowhere")


@pytest.mark.slow
def test_a_file_that_differs_from_its_manifest_is_not_opened(tmp_path: Path, tensors: dict) -> None:
    file = tmp_path / f"{SMALL}.safetensors"
    save_tensors(file, tensors, Provenance(), input_px=96)
    assert load_backbone(SMALL, weights=str(file)).input_px == 96
    with open(file, "r+b") as opened:
        opened.seek(-1, 2)
        opened.write(b"\x01")
    with pytest.raises(ArtefactError, match="sha256"):
        find_weights(SMALL, str(file))


def test_loading_puts_the_file_into_the_network(tmp_path: Path, tensors: dict) -> None:
    network, head = build_network(SMALL)
    load_strictly(network, attach(tmp_path, {key: value.clone() for key, value in tensors.items()}), head)
    assert all(torch.equal(value, tensors[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    "wrapper", ["module.", "_orig_mod.", "model.", "model.module._orig_mod.", "net.", "model.encoder."]
)
def test_what_is_put_in_front_of_every_key_is_taken_off(tmp_path: Path, tensors: dict, wrapper: str) -> None:
    network, head = build_network(SMALL)
    wrapped = {wrapper + key: value.clone() for key, value in tensors.items()}
    wrapped["loss.weight"] = torch.ones(3)  # for another module than the matching one
    load_strictly(network, attach(tmp_path, wrapped), head)
    assert all(torch.equal(value, tensors[key]) for key, value in network.state_dict().items())


def test_of_two_networks_that_fit_none_is_taken(tmp_path: Path, tensors: dict) -> None:
    network, head = build_network(SMALL)
    both = {of + key: value.clone() for key, value in tensors.items() for of in ("student.", "teacher.")}
    with pytest.raises(WeightsError, match="keys are missing"):
        load_strictly(network, attach(tmp_path, both), head)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_with_their_name(
    tmp_path: Path, tensors: dict, number: float
) -> None:
    name = next(iter(tensors))
    tensors[name].view(-1)[0] = number
    with pytest.raises(WeightsError, match=f"weights {name} are not finite"):
        load_backbone(SMALL, weights=str(attach(tmp_path, tensors)))


@pytest.mark.parametrize("defect", ["missing", "unexpected", "size"])
def test_any_key_that_does_not_fit_is_an_error(tmp_path: Path, tensors: dict, defect: str) -> None:
    name = next(iter(tensors))
    if defect == "missing":
        tensors.pop(name)
    elif defect == "unexpected":
        tensors["patient.name"] = tensors[name]
    else:
        tensors[name] = tensors[name][:1]
    with pytest.raises(WeightsError, match=r"1 keys are missing|1 are not the model's|do not fit") as caught:
        load_backbone(SMALL, weights=str(attach(tmp_path, tensors)))
    assert "patient" not in str(caught.value)


def test_an_unknown_backbone_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="resnet50"):
        load_backbone("resnet5O", weights="random")


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_backbones())
def test_shipped_weights_load_and_tell_how_they_were_made(name: str) -> None:
    backbone = load_backbone(name, weights="shipped")
    facts = backbone.source.facts
    assert backbone.input_px == facts["input_px"]
    assert "kitlib pretrain" in facts["command"]
    assert backbone.source.file is not None
    assert backbone.source.file.stat().st_size < 12e6
