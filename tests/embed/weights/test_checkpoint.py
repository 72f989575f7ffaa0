"""Weights are read out of .pth files in both formats; nothing in such a file ever runs."""

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from kitlib.artefacts import fingerprint_of, load_tensors, sha256
from kitlib.embed.weights.checkpoint import convert, read_checkpoint
from kitlib.errors import WeightsError

FORMATS = {"zip": True, "legacy": False}


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.Linear(2, 3).half())


def save(content: object, file: Path, form: str) -> Path:
    torch.save(content, file, _use_new_zipfile_serialization=FORMATS[form])
    return file


def nested(network: nn.Module, nesting: str) -> object:
    if nesting == "published":  # like MedicalNet's, with the optimiser's state
        adam = torch.optim.Adam(network.parameters())
        return {"epoch": 7, "state_dict": network.state_dict(), "optimizer": adam.state_dict()}
    return network.state_dict()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("nesting", ["flat", "published"])
def test_tensors_come_out_as_they_went_in(
    tmp_path: Path, network: nn.Module, form: str, nesting: str
) -> None:
    read = read_checkpoint(save(nested(network, nesting), tmp_path / "a.pth", form))
    expected = network.state_dict()
    assert list(read) == list(expected)
    assert all(torch.equal(read[name], expected[name]) for name in expected)
    assert all(read[name].dtype == expected[name].dtype for name in expected)


@pytest.mark.parametrize("form", FORMATS)
def test_views_parameters_and_shared_storages_are_tensors_too(tmp_path: Path, form: str) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {"t": whole.T, "part": whole[1:, ::2], "p": nn.Parameter(whole), "none": torch.zeros(0, 3)}
    read = read_checkpoint(save(tensors, tmp_path / "a.pth", form))
    assert all(torch.equal(read[name], value) for name, value in tensors.items())
    assert read["t"].data_ptr() != read["p"].data_ptr()


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("form", FORMATS)
def test_code_in_a_file_is_refused_by_its_name_and_does_not_run(tmp_path: Path, form: str) -> None:
    mark = tmp_path / "ran"
    file = save({"state_dict": {"w": torch.zeros(1)}, "evil": Evil(mark)}, tmp_path / "a.pth", form)
    with pytest.raises(WeightsError, match=r"asks for (posix|nt)\.system.*a\.pth"):
        read_checkpoint(file)
    assert not mark.exists()
    torch.load(file, weights_only=False)  # the test would see it run
    assert mark.exists()


def test_a_file_cannot_change_what_stands_for_a_name_in_the_next_one(tmp_path: Path) -> None:
    altering = b"\x80\x02ctorch\nFloatStorage\n]K\x05ab."  # gives the stand-in the state [5]
    (tmp_path / "a.pth").write_bytes(altering)
    with pytest.raises(WeightsError):
        read_checkpoint(tmp_path / "a.pth")
    read = read_checkpoint(save({"w": torch.ones(2)}, tmp_path / "b.pth", "zip"))
    assert torch.equal(read["w"], torch.ones(2))


def test_a_plain_pickle_is_refused_before_it_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "a.pth").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(WeightsError, match="system"):
        read_checkpoint(tmp_path / "a.pth")
    assert not mark.exists()


@pytest.mark.parametrize("form", FORMATS)
def test_a_module_or_other_content_is_refused(tmp_path: Path, network: nn.Module, form: str) -> None:
    with pytest.raises(WeightsError, match="asks for torch"):
        read_checkpoint(save(network, tmp_path / "a.pth", form))
    for content in (
        {},
        [torch.zeros(1)],
        {"w": 3},
        {"state_dict": None},
        {"state_dict": {5: torch.zeros(1)}},
    ):
        with pytest.raises(WeightsError, match=r"no dictionary of tensors|entries are no tensors"):
            read_checkpoint(save(content, tmp_path / "b.pth", form))


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, network: nn.Module, form: str) -> None:
    content = save(network.state_dict(), tmp_path / "a.pth", form).read_bytes()
    for size in [*range(0, len(content), 61), len(content) - 1]:
        (tmp_path / "cut.pth").write_bytes(content[:size])
        with pytest.raises(WeightsError, match=r"cut\.pth"):
            read_checkpoint(tmp_path / "cut.pth")


def test_something_behind_a_legacy_file_is_refused(tmp_path: Path, network: nn.Module) -> None:
    file = save(network.state_dict(), tmp_path / "a.pth", "legacy")
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match="follows the last storage"):
        read_checkpoint(file)


def test_altered_numbers_in_a_zip_are_noticed(tmp_path: Path) -> None:
    file = save({"w": torch.full((64,), 7.0)}, tmp_path / "a.pth", "zip")
    numbers = torch.full((64,), 7.0).numpy().tobytes()
    content = file.read_bytes()
    assert content.count(numbers) == 1
    file.write_bytes(content.replace(numbers, b"\1" + numbers[1:]))
    with pytest.raises(WeightsError, match="CRC"):
        read_checkpoint(file)


def test_a_compressed_storage_is_not_unpacked(tmp_path: Path) -> None:
    file = save({"w": torch.zeros(1000)}, tmp_path / "a.pth", "zip")
    with (
        zipfile.ZipFile(file) as before,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as after,
    ):
        for entry in before.namelist():
            after.writestr(entry, before.read(entry))
    with pytest.raises(WeightsError, match="another size"):
        read_checkpoint(tmp_path / "b.pth")


class Beyond:
    """A tensor that claims more numbers than its storage has."""

    def __reduce__(self) -> tuple:
        storage = torch.zeros(4).storage()
        return torch._utils._rebuild_tensor_v2, (storage, 1, (4,), (1,), False, OrderedDict())


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="beyond its storage"):
        read_checkpoint(save({"w": Beyond()}, tmp_path / "a.pth", "zip"))


def test_converting_writes_safetensors_that_name_their_source(tmp_path: Path, network: nn.Module) -> None:
    file = save(nested(network, "published"), tmp_path / "a.pth", "legacy")
    convert(file, tmp_path / "a.safetensors")
    assert list(load_tensors(tmp_path / "a.safetensors").keys() ^ network.state_dict().keys()) == []
    assert sha256(file) in (tmp_path / "a.safetensors.json").read_text()
    assert fingerprint_of(tmp_path / "a.safetensors") == sha256(tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"no \.safetensors"):
        convert(file, tmp_path / "a.bin")
    with pytest.raises(WeightsError, match="missing"):
        convert(tmp_path / "absent.pth", tmp_path / "b.safetensors")
