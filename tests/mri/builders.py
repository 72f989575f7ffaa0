"""Small valid MR DICOM files, and every way to corrupt one. No patient data, no binaries."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from kitlib.mri.dicom.header import LIMITS, Limits
from kitlib.mri.dicom.slices import Slice, read_files
from kitlib.mri.ledger import Fault

SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
FIRST_MM = (-30.0, -100.0, 50.0)


def tilted_axial(degrees: float) -> tuple[float, ...]:
    """Axial directions tilted towards a disc, with six decimals as in headers."""
    angle = np.radians(degrees)
    return (1.0, 0.0, 0.0, 0.0, round(float(np.cos(angle)), 6), round(float(np.sin(angle)), 6))


@contextlib.contextmanager
def spoiling() -> Iterator[None]:
    """Let pydicom write and read invalid values without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def normal_of(orientation: Sequence[float]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def make_image(seed: int = 0, size: tuple[int, int] = (12, 10), highest: int = 1000) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, highest, size, dtype=np.uint16)


def make_slice_dataset(
    image: np.ndarray | None = None,
    *,
    position: Sequence[float] = FIRST_MM,
    orientation: Sequence[float] = SAGITTAL,
    spacing: Sequence[float] = (0.5, 0.75),
    number: int = 1,
    syntax: UID = ExplicitVRLittleEndian,
    missing: str | Sequence[str] = (),
    **tags: Any,
) -> Dataset:
    """One classic MR slice; `tags` overwrite and `missing` removes what a valid one has."""
    image = make_image(number) if image is None else image
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, generate_uid(entropy_srcs=[f"{number}"])
    dataset.Modality, dataset.InstanceNumber = "MR", number
    dataset.ImagePositionPatient = [float(value) for value in position]
    dataset.ImageOrientationPatient = [float(value) for value in orientation]
    dataset.PixelSpacing = list(spacing)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = image.shape[-2:]
    bits = 8 * image.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(image.dtype.kind == "i")
    dataset.PixelData = image.astype(
        image.dtype.newbyteorder("<" if syntax.is_little_endian else ">")
    ).tobytes()
    dataset["PixelData"].VR = "OW"
    with spoiling():
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
    for keyword in [missing] if isinstance(missing, str) else missing:
        delattr(dataset, keyword)
    return dataset


def write(path: Path, dataset: Dataset) -> Path:
    """Save a dataset as DICOM, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with spoiling():
        dcmwrite(path, dataset, enforce_file_format=True)
    return path


def read_file(path: Path, limits: Limits = LIMITS) -> tuple[list[Slice], list[Fault]]:
    """The slices and the faults of one file."""
    with spoiling():
        (found,) = read_files([path], limits)
    return found


def make_series(
    folder: Path,
    *,
    count: int = 5,
    step_mm: float = 4.0,
    orientation: Sequence[float] = SAGITTAL,
    first: Sequence[float] = FIRST_MM,
    first_number: int = 1,
    size: tuple[int, int] = (12, 10),
    **options: Any,
) -> Path:
    """`count` slices along the normal, numbered and named in the order of acquisition; returns the folder.

    A negative step goes the other way. `options` go to every slice, such as missing="ImagePositionPatient".
    """
    for index in range(count):
        number = first_number + index
        position = np.add(first, index * step_mm * normal_of(orientation))
        dataset = make_slice_dataset(
            make_image(number, size), position=position, orientation=orientation, number=number, **options
        )
        write(folder / f"{number}.dcm", dataset)
    return folder


def make_enhanced_dataset(
    *,
    frames: int = 4,
    step_mm: float = 4.0,
    orientation: Sequence[float] = SAGITTAL,
    slopes: Sequence[float] | None = None,
    missing: str = "",
    **tags: Any,
) -> Dataset:
    """An Enhanced MR file with position and rescaling per frame, and shared orientation and spacing."""
    images = np.stack([make_image(index) for index in range(frames)])
    root = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    dataset = make_slice_dataset(images, missing=root, NumberOfFrames=frames, **tags)
    shared, spot, measures = Dataset(), Dataset(), Dataset()
    spot.ImageOrientationPatient, measures.PixelSpacing = list(orientation), [0.5, 0.75]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [spot], [measures]
    groups = []
    for index in range(frames):
        group, place, rescale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = np.add(FIRST_MM, index * step_mm * normal_of(orientation)).tolist()
        rescale.RescaleSlope, rescale.RescaleIntercept = (slopes[index] if slopes else 1), 0
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [place], [rescale]
        groups.append(group)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], groups
    for level in (dataset, shared, *groups):
        if missing in level:
            delattr(level, missing)
    return dataset


CODECS = ("RLE", "baseline JPEG", "JPEG", "JPEG2000")  # the last two lossless; no Python codec for the third


def make_compressed_dataset(image: np.ndarray, codec: str, folder: Path) -> Dataset:
    """A 12-bit slice (8-bit for baseline JPEG) with pixels encoded by a codec."""
    dataset = make_slice_dataset(image, BitsStored=12, HighBit=11)
    if codec == "RLE":
        dataset.compress(RLELossless)
    elif codec == "baseline JPEG":
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        encapsulate_into(dataset, cv2.imencode(".jpg", image.astype(np.uint8))[1].tobytes(), JPEGBaseline8Bit)
    else:
        with spoiling():  # its import warns, and turned into an error that warning kills the interpreter
            import SimpleITK as sitk
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetCompressor(codec)
        writer.UseCompressionOn()
        writer.SetFileName(str(folder / "codec.dcm"))
        writer.Execute(sitk.GetImageFromArray(image[None]))
        source = dcmread(folder / "codec.dcm")
        frame = next(generate_frames(source.PixelData, number_of_frames=1))
        encapsulate_into(dataset, frame, source.file_meta.TransferSyntaxUID)
        dataset.BitsStored, dataset.HighBit = 16, 15
    return dataset


def encapsulate_into(dataset: Dataset, frame: bytes, syntax: UID) -> None:
    """Set the pixel data of a dataset to a compressed stream."""
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
