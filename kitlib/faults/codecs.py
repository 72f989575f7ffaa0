"""Encode slices in each transfer syntax with an encoder here; JPEG-LS can be read but has none."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

Encode = Callable[[Dataset], None]


def unbound(dataset: Dataset) -> Dataset:
    """A dataset stripped of its original encoding, so that it can be written in any byte order."""
    bare = Dataset({element.tag: element for element in dataset})
    bare.file_meta = dataset.file_meta
    return bare


def set_stream(dataset: Dataset, frame: bytes, syntax: UID) -> None:
    """Set the pixel data of a dataset to one compressed stream."""
    set_fragments(dataset, encapsulate([frame]), syntax)


def set_fragments(dataset: Dataset, encoded: bytes, syntax: UID) -> None:
    """Set the pixel data of a dataset to encapsulated fragments, valid or not."""
    dataset.PixelData = encoded
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax


def stream_of(dataset: Dataset) -> bytes:
    """The compressed stream of a single-frame dataset."""
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def _plain(syntax: UID) -> Encode:
    def encode(dataset: Dataset) -> None:
        pixels = dataset.pixel_array
        order = "<" if syntax.is_little_endian else ">"
        dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta.TransferSyntaxUID = syntax

    return encode


def _rle(dataset: Dataset) -> None:
    dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)


def _baseline(dataset: Dataset) -> None:
    """Lossy, with eight bits."""
    pixels = dataset.pixel_array
    grey = (pixels * (255 / max(int(pixels.max()), 1))).astype(np.uint8)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    set_stream(dataset, cv2.imencode(".jpg", grey)[1].tobytes(), JPEGBaseline8Bit)


def _itk(compressor: str, syntax: UID) -> Encode:
    def encode(dataset: Dataset) -> None:
        with warnings.catch_warnings():  # importing SimpleITK warns
            warnings.simplefilter("ignore")
            import SimpleITK as sitk
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encoded.dcm"
            writer = sitk.ImageFileWriter()
            writer.SetImageIO("GDCMImageIO")
            writer.SetCompressor(compressor)
            writer.UseCompressionOn()
            writer.SetFileName(str(path))
            writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
            set_stream(dataset, stream_of(dcmread(path)), syntax)

    return encode


CODECS: dict[str, Encode] = {
    "implicit": _plain(ImplicitVRLittleEndian),
    "explicit": _plain(ExplicitVRLittleEndian),
    "big endian": _plain(ExplicitVRBigEndian),
    "RLE": _rle,
    "JPEG": _itk("JPEG", JPEGLosslessSV1),
    "JPEG baseline": _baseline,
    "JPEG 2000": _itk("JPEG2000", JPEG2000Lossless),
}
"""Functions that re-encode a dataset in place, by transfer syntax; all but JPEG baseline are lossless."""
