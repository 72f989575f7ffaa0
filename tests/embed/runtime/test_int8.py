"""INT8 weight files: made, found, and refused if they do not fit."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kitlib.artefacts import load_tensors, sha256
from kitlib.embed.backbone import load_backbone
from kitlib.embed.runtime import int8 as module
from kitlib.embed.runtime import quantise as making
from kitlib.embed.runtime.int8 import GRAPH, holds_eight_bits
from kitlib.embed.runtime.quantise import agreement_of, phantom_inputs, quantise
from kitlib.embed.slices import Backbone
from kitlib.errors import ArtefactError, ExtraMissingError, UsageError, WeightsError
from kitlib.inputs.base import Resources
from kitlib.inputs.slices import SliceInput
from tests.embed.builders import draw_few_phantoms, needs_nncf

pytestmark = needs_nncf
SMALL, PX = "test_resnet", 48


@pytest.fixture(scope="module", autouse=True)
def few_phantoms() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        draw_few_phantoms(patch)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    file = tmp_path_factory.mktemp("eight") / "small.safetensors"
    return file, quantise(file, SMALL, weights="random", input_px=PX, field_of_view="middle", size="smoke")


@pytest.fixture(scope="module")
def rounded(made: tuple[Path, dict[str, float]]) -> Backbone:
    return load_backbone(SMALL, weights=str(made[0]))


@pytest.fixture(scope="module")
def plain() -> Backbone:
    return load_backbone(SMALL, weights="random", input_px=PX, field_of_view="middle")


def copied(file: Path, folder: Path, *, sidecar: bool = True, **facts: object) -> Path:
    """A copy whose sidecar may be missing or changed."""
    copy = folder / file.name
    copy.write_bytes(file.read_bytes())
    if sidecar:
        record = json.loads(Path(f"{file}.json").read_text())
        record["facts"] |= facts
        Path(f"{copy}.json").write_text(json.dumps(record))
    return copy


def test_vectors_are_nearly_those_of_the_network_as_it_is(
    made: tuple[Path, dict[str, float]], rounded: Backbone, plain: Backbone
) -> None:
    assert (rounded.engine, rounded.width, rounded.input_px, rounded.field_of_view) == (
        "openvino int8", plain.width, PX, "middle",
    )  # fmt: skip
    inputs = np.concatenate(list(phantom_inputs(plain, range(2, 3), "smoke")))
    found = agreement_of([(plain.embed(inputs), rounded.embed(inputs))])
    assert found["r2"] > 0.95
    assert found["cosine"] > 0.99
    assert abs(found["r2"] - made[1]["r2"]) < 0.04  # what the file records about itself holds on other slices
    assert not np.array_equal(plain.embed(inputs), rounded.embed(inputs))


def test_a_vector_depends_on_no_batch(rounded: Backbone) -> None:
    slices = np.random.default_rng(0).integers(0, 256, (5, PX, PX), dtype=np.uint8)
    assert np.array_equal(
        rounded.embed(slices), np.concatenate([rounded.embed(slices[[i]]) for i in range(5)])
    )


def test_its_vectors_have_a_folder_of_their_own_and_its_label_says_what_it_is(
    made: tuple[Path, dict[str, float]], rounded: Backbone
) -> None:
    of_plain = SliceInput(10, SMALL, "random", PX, "middle", "greyscale").encoder(Resources()).spec
    of_rounded = SliceInput(10, SMALL, str(made[0]), grey="greyscale").encoder(Resources()).spec
    assert of_rounded.folder_name != of_plain.folder_name
    assert of_rounded.fingerprint != of_plain.fingerprint
    assert rounded.source.sha256 == sha256(made[0])
    assert rounded.source.label == "random, in eight bits"


@pytest.mark.slow
def test_the_same_weights_give_the_same_file(made: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    assert (
        quantise(again, SMALL, weights="random", input_px=PX, field_of_view="middle", size="smoke") == made[1]
    )
    assert sha256(again) == sha256(made[0])


def test_it_is_refused_for_another_backbone_or_size(made: tuple[Path, dict[str, float]]) -> None:
    for name, px in (("test_efficientnet", PX), (SMALL, 64)):
        with pytest.raises(WeightsError, match=r"made for \('test_resnet', \(48, 48\)\), not for"):
            load_backbone(name, weights=str(made[0]), input_px=px)


def test_without_its_sidecar_it_is_refused(made: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    bare = copied(made[0], tmp_path, sidecar=False)
    with pytest.raises(WeightsError, match="no sidecar"):
        load_backbone(SMALL, weights=str(bare), input_px=PX)


def test_altered_or_cut_short_it_is_refused(made: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    copy = copied(made[0], tmp_path)
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    with pytest.raises(ArtefactError, match="sha256 differs"):
        load_backbone(SMALL, weights=str(copy))
    copy.write_bytes(content[:-100])
    with pytest.raises(ArtefactError, match="bytes"):
        load_backbone(SMALL, weights=str(copy))


def test_a_graph_that_openvino_cannot_read_is_an_error_of_the_kit(
    made: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load_tensors(made[0])
    tensors[GRAPH] = tensors[GRAPH][:100]
    monkeypatch.setattr(module, "load_tensors", lambda _: tensors)
    with pytest.raises(WeightsError, match="cannot read the network"):
        load_backbone(SMALL, weights=str(made[0]))


def test_without_openvino_it_says_what_to_install(
    made: tuple[Path, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "silent_openvino", lambda: None)
    with pytest.raises(ExtraMissingError, match=r"kitlib\[openvino\]"):
        load_backbone(SMALL, weights=str(made[0]))
    monkeypatch.setattr(making, "silent_openvino", lambda: None)
    with pytest.raises(ExtraMissingError, match=r"kitlib\[openvino\]"):
        quantise(made[0], SMALL, weights="random")


def test_other_files_are_not_of_this_kind(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("nothing of the kind")
    assert not holds_eight_bits(tmp_path / "text.safetensors")
    assert not holds_eight_bits(tmp_path / "absent.safetensors")
    assert not holds_eight_bits(None)
    assert not holds_eight_bits(load_backbone("resnet10t", weights="shipped").source.file)


def test_there_must_be_something_to_round_and_a_place_for_it(
    made: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="nothing to round"):
        quantise(tmp_path / "x.safetensors", SMALL, weights=str(made[0]))
    with pytest.raises(UsageError, match="no name for weights"):
        quantise(tmp_path / "x.bin", SMALL, weights="random")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_network_that_becomes_another_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "LEAST_R2", 1.0)
    with pytest.raises(WeightsError, match="has other vectors: R2 0"):
        quantise(tmp_path / "x.safetensors", SMALL, weights="random", input_px=PX, size="smoke")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_volumes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("monai")
    monkeypatch.setattr(making, "LEAST_R2", 0.5)  # six small volumes give the scales of random weights
    file = tmp_path / "volumes.safetensors"
    agreement = quantise(file, "medicalnet_resnet10", weights="random", input_px=32, size="smoke")
    rounded = load_backbone("medicalnet_resnet10", weights=str(file))
    assert (rounded.engine, rounded.field_of_view, rounded.input_px) == ("openvino int8", "whole", 32)
    assert 0.5 < agreement["r2"] < 1


def test_agreement_is_of_what_varies() -> None:
    rng = np.random.default_rng(0)
    own = 100 + rng.normal(size=(400, 8))
    assert agreement_of([(own[:100], own[:100]), (own[100:], own[100:])]) == {"r2": 1.0, "cosine": 1.0}
    mean = np.broadcast_to(own.mean(axis=0), own.shape)
    assert agreement_of([(own, mean)])["r2"] == pytest.approx(0, abs=1e-6)
    assert agreement_of([(own, mean)])["cosine"] > 0.99  # which is why the cosine alone is not enough
    assert agreement_of([(own, own + rng.normal(size=own.shape))])["r2"] == pytest.approx(0, abs=0.1)
