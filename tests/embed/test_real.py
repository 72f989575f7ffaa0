"""INT8 networks calibrated on phantoms, on patients' slices."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from kitlib.embed.backbone import load_backbone
from kitlib.embed.field_of_view import MIDDLE, square
from kitlib.embed.runtime.quantise import agreement_of, quantise
from kitlib.prepare.grey import GREY_OPTIONS, greyscale
from tests.embed.builders import needs_nncf


@pytest.mark.slow
@needs_nncf
def test_the_shipped_backbone_keeps_its_vectors_of_patients(
    real_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They keep 0.997 of the variance with scales of `demo` phantoms, 0.991 with a hundred smaller ones."""
    monkeypatch.setattr("kitlib.embed.runtime.quantise.cores", lambda: 1)  # to draw eight phantoms here
    monkeypatch.setattr("kitlib.embed.runtime.quantise.MOST_INPUTS", 100)  # as good for calibration as 300
    file = tmp_path / "resnet10t.safetensors"
    on_phantoms = quantise(file, "resnet10t", weights="shipped", size="smoke")
    plain, rounded = (load_backbone("resnet10t", weights=weights) for weights in ("shipped", str(file)))
    files = sorted((real_dir / "spider" / "images").glob("*.png"))
    stacks = [greyscale(cv2.imread(str(one), cv2.IMREAD_GRAYSCALE)[None, ::-1]) for one in files]
    assert len(stacks) >= 15
    for grey in GREY_OPTIONS.values():
        slices = np.concatenate([square(grey(one), plain.input_px, MIDDLE["sagittal"]) for one in stacks])
        found = agreement_of([(plain.embed(slices), rounded.embed(slices))])
        assert found["r2"] > 0.98
        assert found["r2"] > on_phantoms["r2"] - 0.02
