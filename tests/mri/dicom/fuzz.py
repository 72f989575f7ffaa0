"""Small files in many transfer syntaxes, as originals for `kitlib.faults.mutants`."""

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.mri.builders import (
    CODECS,
    make_compressed_dataset,
    make_enhanced_dataset,
    make_slice_dataset,
    spoiling,
    write,
)


def smooth_image(rows: int = 64, columns: int = 80) -> np.ndarray:
    """A ramp with some noise, which all codecs can compress."""
    noise = np.random.default_rng(0).integers(0, 30, (rows, columns))
    return (np.add.outer(np.arange(rows), np.arange(columns)) * 4 % 220 + noise).astype(np.uint16)


def originals(folder: Path, real: Path | None = None) -> dict[str, Path]:
    """A small file in each transfer syntax that can be written here, and a folder's real ones, by name."""
    folder.mkdir(exist_ok=True)
    image = smooth_image()
    datasets: dict[str, Dataset] = {
        "implicit": make_slice_dataset(image, syntax=ImplicitVRLittleEndian),
        "explicit": make_slice_dataset(image, syntax=ExplicitVRLittleEndian, RescaleSlope=2),
        "big endian": make_slice_dataset(image, syntax=ExplicitVRBigEndian),
        "enhanced": make_enhanced_dataset(frames=3),
    }
    for codec in CODECS:
        datasets[codec] = make_compressed_dataset(image, codec, folder)
    datasets["enhanced JPEG 2000"] = enhanced = make_enhanced_dataset(frames=3)
    streams = [make_compressed_dataset(smooth_image(12, 10) + at, "JPEG2000", folder) for at in range(3)]
    frames = [next(generate_frames(one.PixelData, number_of_frames=1)) for one in streams]
    enhanced.PixelData = encapsulate(frames)
    enhanced["PixelData"].is_undefined_length = True
    enhanced.file_meta.TransferSyntaxUID = streams[0].file_meta.TransferSyntaxUID
    paths = {name: write(folder / f"{name}.dcm", dataset) for name, dataset in datasets.items()}
    paths["deflated"] = folder / "deflated.dcm"
    dataset = make_slice_dataset(image)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with spoiling():
        dcmwrite(paths["deflated"], dataset, enforce_file_format=True)
    if real:
        paths |= {
            f"real {kind}": next((real / "dicom" / f"generic_{kind}").glob("*.dcm"))
            for kind in ("jpegls", "jpeg", "compressed", "rle")
        }
    return paths
