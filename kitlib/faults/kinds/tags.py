"""Tags that are missing, invalid, or contradict the pixels."""

from functools import partial
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.tag import Tag

from kitlib.faults.registry import damage
from kitlib.faults.subject import Subject
from kitlib.terms import SAGITTAL_T2

FIRST_FREE = 700
LOWERED = 2000
PLANTED = "Planted^Name"
"""Stands in for a patient's name; no output of the kit may contain it."""


def turned(dataset: Dataset, *, columns: bool, rows: bool) -> None:
    """Flip the stored image, and change its geometry so that every pixel keeps its position."""
    pixels = dataset.pixel_array
    cosines = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    row_mm, column_mm = (float(spacing) for spacing in dataset.PixelSpacing)
    origin = np.array(dataset.ImagePositionPatient, float)
    if columns:
        origin += cosines[0] * column_mm * (pixels.shape[1] - 1)
        cosines[0], pixels = -cosines[0], pixels[:, ::-1]
    if rows:
        origin += cosines[1] * row_mm * (pixels.shape[0] - 1)
        cosines[1], pixels = -cosines[1], pixels[::-1]
    dataset.ImagePositionPatient = [f"{value:.9f}"[:16] for value in origin]
    dataset.ImageOrientationPatient = [f"{value:.9f}" for value in cosines.ravel()]
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()


@damage()
def no_position(study: Subject) -> None:
    """Some slices have no position."""
    study.edit(study.some(), ImagePositionPatient=None)


@damage()
def position_of_no_number(study: Subject) -> None:
    """Positions are NaN, infinite, or have only two values."""
    for path, value in zip(study.files(), (["nan"] * 3, ["inf"] * 3, ["1", "2"])):
        study.edit(path, ImagePositionPatient=value)


@damage()
def one_position(study: Subject) -> None:
    """All slices of a series have the same position."""
    study.edit(study.files(), ImagePositionPatient=["0", "0", "0"])


@damage()
def position_far_off(study: Subject) -> None:
    """A slice's position is metres away."""
    study.edit(study.one(), ImagePositionPatient=["2000", "2000", "2000"])


@damage()
def positions_exchanged(study: Subject) -> None:
    """The positions of the slices of T2 are shuffled."""
    files = study.files(SAGITTAL_T2)
    positions = [dcmread(path, stop_before_pixels=True).ImagePositionPatient for path in files]
    for path, position in zip(files, study.lots.sample(positions, len(positions))):
        study.edit(path, ImagePositionPatient=position)


@damage()
def slices_moved(study: Subject) -> None:
    """Every second slice of T2 is shifted up by 9 mm."""

    def move(dataset: Dataset) -> None:
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, y, f"{z + 9:.6f}"]

    study.edit(study.files(SAGITTAL_T2)[::2], move)


@damage()
def no_orientation(study: Subject) -> None:
    """A series has no orientation."""
    study.edit(study.files(), ImageOrientationPatient=None)


@damage()
def orientation_of_zeros(study: Subject) -> None:
    """The direction vectors of some slices are zero."""
    study.edit(study.some(), ImageOrientationPatient=["0"] * 6)


@damage()
def scouts(study: Subject) -> None:
    """The folder of a series also holds coronal scouts."""
    for number, path in enumerate(study.files()):
        scout = path.with_name(f"{FIRST_FREE + number}.dcm")
        study.write(scout, path.read_bytes())
        study.edit(scout, ImageOrientationPatient=["1", "0", "0", "0", "0", "-1"])


@damage()
def another_orientation(study: Subject) -> None:
    """Some slices of a series are tilted by twenty degrees."""

    def tilt(dataset: Dataset) -> None:
        row, column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        tilted = np.cos(np.radians(20)) * column + np.sin(np.radians(20)) * np.cross(row, column)
        dataset.ImageOrientationPatient = [f"{value:.9f}" for value in (*row, *tilted)]

    study.edit(study.some(), tilt)


@damage()
def no_spacing(study: Subject) -> None:
    """A series has no pixel spacing."""
    study.edit(study.files(), PixelSpacing=None)


@damage()
def spacing_of_zero(study: Subject) -> None:
    """Some slices have a pixel spacing of zero."""
    study.edit(study.some(), PixelSpacing=["0", "0"])


@damage()
def spacing_of_45_mm(study: Subject) -> None:
    """A series has a pixel spacing of 45 mm."""
    study.edit(study.files(), PixelSpacing=["45", "45"])


@damage(harmless=True)
def no_instance_numbers(study: Subject) -> None:
    """The slices of a series have no instance number."""
    study.edit(study.files(), InstanceNumber=None)


@damage(harmless=True)
def one_instance_number(study: Subject) -> None:
    """All slices of a series have the same instance number."""
    study.edit(study.files(), InstanceNumber=1)


@damage(harmless=True)
def numbers_reversed(study: Subject) -> None:
    """The slices of a series are numbered in reverse."""
    files = study.files()
    for path, number in zip(files, range(len(files), 0, -1)):
        study.edit(path, InstanceNumber=number)


@damage()
def another_slope(study: Subject) -> None:
    """One slice of a series has a different rescale slope and intercept."""
    study.edit(study.one(), RescaleSlope="7", RescaleIntercept="-400")


@damage()
def slope_beyond_numbers(study: Subject) -> None:
    """One slice has a rescale slope that overflows."""
    study.edit(study.one(), RescaleSlope="1E+38", RescaleIntercept="0")


@damage()
def inverted_slice(study: Subject) -> None:
    """One slice of a series is tagged MONOCHROME1, so that low values are white."""
    study.edit(study.one(), PhotometricInterpretation="MONOCHROME1")


@damage(harmless=True)
def below_zero_and_raised(study: Subject) -> None:
    """Values are stored below zero, and the rescale intercept restores them."""

    def lower(dataset: Dataset) -> None:
        intercept = int(dataset.get("RescaleIntercept", 0))
        values = dataset.pixel_array.astype(np.int32) + intercept - LOWERED
        dataset.PixelRepresentation, dataset.PixelData = 1, values.astype("<i2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, LOWERED

    study.edit(study.files(), lower)


@damage()
def computed_tomography(study: Subject) -> None:
    """The files of a series are tagged as CT."""
    study.edit(study.files(), Modality="CT")


@damage()
def syntax_of_no_name(study: Subject) -> None:
    """A file has an unknown transfer syntax."""
    path = study.one()
    study.write(path, path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.3.4.5.6.7.8.9.0\0"))


@damage()
def rows_that_are_not_there(study: Subject) -> None:
    """A file claims more rows than it has."""
    study.edit(study.one(), Rows=60_000)


@damage()
def two_sizes(study: Subject) -> None:
    """Some slices of a series have half the columns."""

    def halve(dataset: Dataset) -> None:
        pixels = np.ascontiguousarray(dataset.pixel_array[:, : dataset.Columns // 2])
        dataset.Columns, dataset.PixelData = pixels.shape[1], pixels.tobytes()

    study.edit(study.some(), halve)


@damage(harmless=True)
def stored_turned(study: Subject) -> None:
    """Images are stored rotated by 180 degrees, with matching geometry."""
    study.edit(study.files(), lambda dataset: turned(dataset, columns=True, rows=True))


@damage(harmless=True)
def stored_mirrored(study: Subject) -> None:
    """Images are stored mirrored, with matching geometry."""
    study.edit(study.files(), lambda dataset: turned(dataset, columns=True, rows=False))


@damage(harmless=True)
def names_of_a_patient(study: Subject) -> None:
    """Many tags contain a patient's name."""
    words = ("PatientName", "PatientID", "AccessionNumber", "InstitutionName", "ImageComments", "StudyID")
    tags: dict[str, Any] = dict.fromkeys(words, PLANTED)
    study.edit(sorted(study.folder.rglob("*.dcm")), **tags)


@damage()
def names_for_numbers(study: Subject) -> None:
    """Tags such as the pixel spacing and position contain a patient's name."""
    words = ("PixelSpacing", "ImagePositionPatient", "PhotometricInterpretation", "Modality", "RescaleSlope")
    for path, word in zip(study.files(), words):
        study.edit(path, partial(Dataset.add_new, tag=Tag(word), VR="LO", value=PLANTED))
