"""The commands about weights do what their functions do."""

from pathlib import Path

import pytest
import torch

from kitlib.artefacts import load_tensors
from kitlib.cli import main
from kitlib.embed.backbone import build_network
from kitlib.embed.weights import checkpoint
from kitlib.embed.weights.sources import cache_dir, find_weights


def test_convert_writes_safetensors_and_refuses_a_broken_file(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    torch.save({"state_dict": {"module.w": torch.ones(2)}}, tmp_path / "a.pth")
    assert main(["weights", "convert", str(tmp_path / "a.pth"), str(tmp_path / "a.safetensors")]) == 0
    assert capsys.readouterr().out.startswith("1 tensors in ")
    assert load_tensors(tmp_path / "a.safetensors")["module.w"].tolist() == [1, 1]
    (tmp_path / "b.pth").write_bytes(b"nothing of the kind")
    assert main(["weights", "convert", str(tmp_path / "b.pth"), str(tmp_path / "b.safetensors")]) == 2
    assert capsys.readouterr().err.startswith("[weights] ")


@pytest.mark.parametrize("extra", ["imagenet", "ct"])
def test_convert_takes_the_weights_of_an_extra_by_its_name(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(
        f"kitlib.embed.weights.{extra}.convert_{extra}", lambda out: asked.append(out) or {"a": torch.ones(1)}
    )
    assert main(["convert", extra, str(tmp_path / "a.safetensors")]) == 0
    assert asked == [tmp_path / "a.safetensors"]
    assert capsys.readouterr().out.startswith("1 tensors in ")


def test_weights_of_another_backbone_do_not_enter_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.save(build_network("test_resnet")[0].state_dict(), tmp_path / "a.pth")
    assert main(["weights", "convert", str(tmp_path / "a.pth"), "--backbone", "resnet10t"]) == 2
    assert "do not fit" in capsys.readouterr().err
    assert not (cache_dir() / "resnet10t.safetensors").exists()


def test_pretrain_writes_into_the_cache_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: list[tuple[Path, dict]] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "kitlib.embed.pretrain.train.pretrain", lambda out, **how: asked.append((out, how)) or {"canal": 0.5}
    )
    arguments = [
        "weights",
        "train",
        "--backbone",
        "resnet50",
        "--studies",
        "3",
        "--epochs",
        "2",
        "--input-px",
        "144",
    ]
    assert main(arguments) == 0
    assert "canal 0.500" in capsys.readouterr().out
    assert main([*arguments, "--out", str(tmp_path / "x.safetensors"), "--view", "whole"]) == 0
    assert [out for out, _ in asked] == [cache_dir() / "resnet50.safetensors", tmp_path / "x.safetensors"]
    assert asked[0][1] == {
        "studies": 3, "epochs": 2, "seed": 2024, "backbone": "resnet50", "input_px": 144,
        "field_of_view": "middle", "workers": None, "start": "",
    }  # fmt: skip
    assert asked[1][1]["field_of_view"] == "whole"


def test_quantise_says_how_well_the_vectors_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: list[tuple] = []
    monkeypatch.setattr(
        "kitlib.embed.runtime.quantise.quantise",
        lambda *what, **how: asked.append((*what, how)) or {"r2": 0.9968, "cosine": 0.9975},
    )
    out = tmp_path / "small.safetensors"
    assert (
        main(
            [
                "weights",
                "quantise",
                str(out),
                "--backbone",
                "resnet50",
                "--input-px",
                "224",
                "--view",
                "whole",
            ]
        )
        == 0
    )
    assert asked == [(out, "resnet50", {"weights": "auto", "input_px": 224, "field_of_view": "whole"})]
    assert "keep 99.68% of their variance, smallest cosine 0.9975" in capsys.readouterr().out


def test_converted_weights_of_a_backbone_are_found_by_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    network, _ = build_network("test_resnet")
    torch.save(network.state_dict(), tmp_path / "real.pth")
    read: list[Path] = []
    monkeypatch.setattr(
        checkpoint,
        "read_checkpoint",
        lambda file, own=checkpoint.read_checkpoint: read.append(file) or own(file),
    )
    for times in (1, 2):  # the second time it replaces the first
        assert main(["weights", "convert", str(tmp_path / "real.pth"), "--backbone", "test_resnet"]) == 0
        assert read == times * [tmp_path / "real.pth"]
        assert find_weights("test_resnet").kind == "cached"
        assert sorted(path.name for path in cache_dir().iterdir()) == [
            "test_resnet.safetensors", "test_resnet.safetensors.json"
        ]  # fmt: skip
    capsys.readouterr()
    for names in ([], [str(tmp_path / "a.safetensors"), "--backbone", "test_resnet"]):
        assert main(["weights", "convert", str(tmp_path / "real.pth"), *names]) == 2
        assert "name a file to write, or a backbone" in capsys.readouterr().err
    assert main(["weights", "convert", str(tmp_path / "real.pth"), "--backbone", "test_resnot"]) == 2
    assert "unknown backbone 'test_resnot'" in capsys.readouterr().err
