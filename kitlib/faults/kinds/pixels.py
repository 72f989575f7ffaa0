"""Pixel data that is constant, of the wrong type, missing, or duplicated."""

import struct

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate

from kitlib.faults.registry import damage
from kitlib.faults.subject import Subject
from kitlib.terms import SAGITTAL_T2

PIXEL_HEAD = b"\xe0\x7f\x10\x00OW\0\0"


@damage()
def constant(study: Subject) -> None:
    """All pixels of some slices have the same value."""

    def flatten(dataset: Dataset) -> None:
        dataset.PixelData = np.full((dataset.Rows, dataset.Columns), 100, np.uint16).tobytes()

    study.edit(study.some(), flatten)


@damage()
def all_black(study: Subject) -> None:
    """A series is black."""

    def blacken(dataset: Dataset) -> None:
        dataset.PixelData = bytes(len(dataset.PixelData))

    study.edit(study.files(), blacken)


@damage()
def no_pixels(study: Subject) -> None:
    """Some files have tags but no pixel data."""
    study.edit(study.some(), PixelData=None)


@damage()
def pixels_twice(study: Subject) -> None:
    """A file has two pixel data elements, one after the other."""
    path = study.one()
    content = path.read_bytes()
    head = content.rindex(PIXEL_HEAD)
    (length,) = struct.unpack_from("<L", content, head + len(PIXEL_HEAD))
    other = bytes(reversed(content[-length:]))
    study.write(path, content + PIXEL_HEAD + struct.pack("<L", length) + other)


@damage()
def colour(study: Subject) -> None:
    """Some slices are RGB images."""

    def paint(dataset: Dataset) -> None:
        grey = (dataset.pixel_array // 16).astype(np.uint8)
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = np.repeat(grey[..., None], 3, -1).tobytes()

    study.edit(study.some(), paint)


@damage()
def below_zero(study: Subject) -> None:
    """Values are shifted below zero and stored as signed integers."""

    def wrap(dataset: Dataset) -> None:
        dataset.PixelRepresentation = 1
        dataset.pop("RescaleIntercept", None)
        dataset.PixelData = (dataset.pixel_array.astype(np.int32) - 300).astype("<i2").tobytes()

    study.edit(study.some(), wrap)


@damage()
def unused_bits(study: Subject) -> None:
    """An overlay is stored in the unused high bits."""

    def overlay(dataset: Dataset) -> None:
        pixels = np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF
        pixels[: len(pixels) // 3] |= 0x4000
        dataset.BitsStored, dataset.HighBit, dataset.PixelData = 12, 11, pixels.tobytes()

    study.edit(study.some(), overlay)


@damage()
def bits_that_cannot_be(study: Subject) -> None:
    """BitsStored exceeds BitsAllocated."""
    study.edit(study.some(), BitsStored=20, HighBit=19)


@damage()
def half_the_image(study: Subject) -> None:
    """The pixel data of some images ends halfway."""

    def lose(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]

    study.edit(study.some(), lose)


@damage()
def every_slice_inverted(study: Subject) -> None:
    """All slices of a series are tagged MONOCHROME1, so that low values are white."""
    study.edit(study.files(), PhotometricInterpretation="MONOCHROME1")


@damage()
def slope_below_zero(study: Subject) -> None:
    """All slices of a series have a rescale slope of -1."""
    study.edit(study.files(), RescaleSlope="-1", RescaleIntercept="0")


@damage()
def order_of_bytes(study: Subject) -> None:
    """The pixel values of a series have swapped bytes."""

    def swap(dataset: Dataset) -> None:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()

    study.edit(study.files(), swap)


@damage()
def off_by_a_byte(study: Subject) -> None:
    """The pixel data of some slices is shifted by one byte."""

    def shift(dataset: Dataset) -> None:
        dataset.PixelData = b"\0" + dataset.PixelData[:-1]

    study.edit(study.some(), shift)


@damage()
def clipped(study: Subject) -> None:
    """The brightest fifth of each image's pixels is saturated."""

    def clip(dataset: Dataset) -> None:
        pixels = np.frombuffer(dataset.PixelData, "<u2").copy()
        pixels[pixels > np.quantile(pixels, 0.8)] = 0xFFFF
        dataset.PixelData = pixels.tobytes()

    study.edit(study.some(), clip)


@damage()
def one_image_in_all(study: Subject) -> None:
    """All slices of a series have the same image."""
    pixels = dcmread(study.one()).PixelData
    study.edit(study.files(), PixelData=pixels)


@damage()
def fragments_without_a_codec(study: Subject) -> None:
    """Uncompressed pixel data is encapsulated in fragments."""

    def wrap(dataset: Dataset) -> None:
        dataset.PixelData = encapsulate([dataset.PixelData])
        dataset["PixelData"].is_undefined_length = True

    study.edit(study.some(), wrap)


@damage()
def few_greys(study: Subject) -> None:
    """The images of a series are quantised to a few grey levels."""

    def flatten(dataset: Dataset) -> None:
        pixels = dataset.pixel_array
        step = max(int(pixels.max()) // 4, 1)
        dataset.PixelData = (pixels // step * step).astype(pixels.dtype).tobytes()

    study.edit(study.files(), flatten)


@damage()
def framed(study: Subject) -> None:
    """The left tenth of each image in a series has the largest possible value."""

    def frame(dataset: Dataset) -> None:
        pixels = dataset.pixel_array.copy()
        pixels[:, : pixels.shape[1] // 10] = np.iinfo(pixels.dtype).max
        dataset.PixelData = pixels.tobytes()

    study.edit(study.files(), frame)


@damage()
def rows_for_columns(study: Subject) -> None:
    """The images of T2 are transposed, and no geometry tag reflects it."""

    def turn(dataset: Dataset) -> None:
        dataset.PixelData = np.ascontiguousarray(dataset.pixel_array.T).tobytes()
        dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows

    study.edit(study.files(SAGITTAL_T2), turn)
