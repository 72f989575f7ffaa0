"""Write phantom series as DICOM files: valid MR images with the tags of the competition's headers."""

import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RLELossless

from kitlib.mri.stack import Stack
from kitlib.phantom.scan.prescription import SLICE_FILLS
from kitlib.phantom.study import PhantomSeries
from kitlib.terms import SAGITTAL_T1

ENCODING_DEFECTS = ("rle", "signed", "monochrome1")
"""Optional encodings: RLE Lossless, negative stored values with an intercept, and inverted grey values."""

DEFECT_RATE = 0.5  # of series that have a requested encoding, drawn independently
SIGNED_RATE = 0.4  # of series whose format allows negative values, though they have none
RESCALE_RATE = 0.18  # of series whose header has a rescale intercept (docs/facts.md, 2)
LOWEST = -1024  # stored value of black in a series with values below 0
HIGHEST = 2**16 - 1
ABSENT_RATES = {  # of series that lack an optional tag; chosen by eye
    "SpacingBetweenSlices": 0.3,
    "SliceThickness": 0.1,
    "SliceLocation": 0.05,
    "MagneticFieldStrength": 0.2,
    "EchoTrainLength": 0.15,
    "PixelBandwidth": 0.2,
}
DATE = "20240101"


def write_series(
    folder: Path, study_id: int, series: PhantomSeries, *, defects: Collection[str] = ()
) -> None:
    """Write one file per slice, named by its instance number, into an existing folder.

    `defects` are some of ENCODING_DEFECTS; the series id seeds which of them, and which optional tags, a
    series has.
    """
    lots = np.random.default_rng(series.series_id)
    signed, rescaled = lots.random(2) < (SIGNED_RATE, RESCALE_RATE)
    drawn = lots.random(len(ENCODING_DEFECTS)) < DEFECT_RATE
    encodings = {name for name, is_drawn in zip(ENCODING_DEFECTS, drawn) if is_drawn and name in defects}
    absent = [keyword for keyword, rate in ABSENT_RATES.items() if lots.random() < rate]
    header = _series_header(study_id, series)
    _add_pixel_format(header, encodings, signed=bool(signed), rescaled=bool(rescaled))
    _add_window(header, series)
    for stack in series.stacks:
        _add_geometry(header, stack)
        for index, file in enumerate(stack.files):
            _add_slice(header, stack, index)
            for keyword in absent:
                header.pop(keyword, None)
            _add_pixels(header, stack.pixels[index], compressed="rle" in encodings)
            header.save_as(folder / file, enforce_file_format=True)


def uid(*parts: object) -> str:
    """Derive a UID from its parts, under the root for UUIDs (DICOM PS3.5, B.2)."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()
    return f"2.25.{int(digest[:32], 16)}"


def _series_header(study_id: int, series: PhantomSeries) -> Dataset:
    """Build the header that all instances of a series share."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = MRImageStorage
    header.SOPClassUID = MRImageStorage
    header.Modality = "MR"
    header.Manufacturer = "kitlib phantom"
    header.PatientID = header.PatientName = f"PHANTOM{study_id}"
    header.PatientBirthDate = header.PatientSex = header.ReferringPhysicianName = header.AccessionNumber = ""
    header.StudyID, header.SeriesNumber = str(study_id), None
    header.StudyDate = header.ContentDate = DATE
    header.StudyTime = header.ContentTime = "120000"
    header.StudyInstanceUID = uid(study_id)
    header.SeriesInstanceUID = uid(study_id, series.series_id)
    header.FrameOfReferenceUID = uid(study_id, "frame")
    header.PositionReferenceIndicator = ""
    header.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    header.SeriesDescription = series.sequence
    header.PatientPosition = "HFS"
    _add_timing(header, series)
    return header


def _add_timing(header: Dataset, series: PhantomSeries) -> None:
    timing = series.timing
    header.ScanningSequence = ["SE", "IR"] if timing.inversion_ms else "SE"
    header.SequenceVariant = "NONE" if series.sequence == SAGITTAL_T1 else "SK"
    header.ScanOptions = ""
    header.MRAcquisitionType = "2D"
    header.RepetitionTime, header.EchoTime = round(timing.repetition_ms, 1), round(timing.echo_ms, 1)
    header.EchoTrainLength, header.PixelBandwidth = timing.echo_train, round(timing.bandwidth, 1)
    header.MagneticFieldStrength = series.field_t
    if timing.inversion_ms:
        header.InversionTime = round(timing.inversion_ms, 1)


def _add_pixel_format(header: Dataset, encodings: set[str], *, signed: bool, rescaled: bool) -> None:
    inverted, below_zero = "monochrome1" in encodings, "signed" in encodings
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = int(below_zero or (signed and not inverted))
    if below_zero or rescaled:
        header.RescaleIntercept, header.RescaleSlope, header.RescaleType = -LOWEST * below_zero, 1, "US"


def _add_window(header: Dataset, series: PhantomSeries) -> None:
    """Add a window from black to the 99th percentile of the middle slices, as values after rescaling."""
    brightest = np.concatenate([stack.pixels[len(stack) // 2].ravel() for stack in series.stacks])
    ends = _stored(header, np.array([0, np.percentile(brightest, 99)])) + header.get("RescaleIntercept", 0)
    header.WindowWidth = int(np.ptp(ends)) + 1
    header.WindowCenter = int(ends.mean())


def _add_geometry(header: Dataset, stack: Stack) -> None:
    _, header.Rows, header.Columns = stack.pixels.shape
    header.PixelSpacing = [*map(_decimal, stack.spacing_mm)]
    header.ImageOrientationPatient = [*map(_decimal, (*stack.row_direction, *stack.column_direction))]
    header.SpacingBetweenSlices = _decimal(stack.step_mm)
    header.SliceThickness = _decimal(SLICE_FILLS * stack.step_mm)


def _add_slice(header: Dataset, stack: Stack, index: int) -> None:
    header.InstanceNumber = int(stack.instance_numbers[index])
    header.SOPInstanceUID = uid(header.SeriesInstanceUID, header.InstanceNumber)
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.ImagePositionPatient = [*map(_decimal, stack.origins_mm[index])]
    header.SliceLocation = _decimal(stack.positions_mm[index])


def _add_pixels(header: Dataset, image: np.ndarray, *, compressed: bool) -> None:
    stored = _stored(header, image).astype("<i2" if header.PixelRepresentation else "<u2")
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.PixelData = stored.tobytes()
    if compressed:
        header.compress(RLELossless, stored, encoding_plugin="pydicom", generate_instance_uid=False)


def _stored(header: Dataset, values: np.ndarray) -> np.ndarray:
    """Convert whole values to stored values, int64: before rescaling, and inverted for MONOCHROME1."""
    values = values.astype(np.int64) - int(header.get("RescaleIntercept", 0))
    if header.PhotometricInterpretation == "MONOCHROME2":
        return values
    return -1 - values if header.PixelRepresentation else HIGHEST - values


def _decimal(value: float) -> str:
    """Format a number within the 16 characters of DICOM's decimal strings."""
    return f"{value:.9f}" if abs(value) < 1000 else f"{value:.6f}"
