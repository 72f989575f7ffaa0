"""Phantom series as DICOM files: valid MR images with the tags that the competition's headers have."""

import hashlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from kitlib.mri.stack import Stack
from kitlib.phantom.scanner import SLICE_FILLS
from kitlib.phantom.study import PhantomSeries
from kitlib.terms import SAGITTAL_T1

SIGNED_RATE = 0.4
RESCALE_RATE = 0.18  # of series whose header has a rescale intercept (facts.md, 2)
DATE = "20240101"


def write_series(folder: Path, study_id: int, series: PhantomSeries) -> None:
    """Write one file per slice, named by its instance number, into a folder that exists."""
    lots = np.random.default_rng(series.series_id)
    signed, rescaled = lots.random(2) < (SIGNED_RATE, RESCALE_RATE)
    header = _series_header(study_id, series, signed=bool(signed), rescaled=bool(rescaled))
    for stack in series.stacks:
        _add_geometry(header, stack)
        for index, file in enumerate(stack.files):
            _add_slice(header, stack, index)
            header.save_as(folder / file, enforce_file_format=True)


def uid(*parts: object) -> str:
    """A UID that follows from its parts, under the root for UUIDs (DICOM PS3.5, B.2)."""
    digest = hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()
    return f"2.25.{int(digest[:32], 16)}"


def _series_header(study_id: int, series: PhantomSeries, *, signed: bool, rescaled: bool) -> Dataset:
    """What all instances of a series share."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = MRImageStorage
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
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
    _add_pixel_format(header, signed=signed)
    if rescaled:
        header.RescaleIntercept, header.RescaleSlope, header.RescaleType = 0, 1, "US"
    brightest = np.concatenate([stack.pixels[len(stack) // 2].ravel() for stack in series.stacks])
    header.WindowWidth = int(np.percentile(brightest, 99)) + 1
    header.WindowCenter = header.WindowWidth // 2
    return header


def _add_timing(header: Dataset, series: PhantomSeries) -> None:
    timing = series.timing
    header.ScanningSequence = ["SE", "IR"] if timing.inversion_ms else "SE"
    header.SequenceVariant = "NONE" if series.sequence == SAGITTAL_T1 else "SK"
    header.ScanOptions = ""
    header.MRAcquisitionType = "2D"
    header.RepetitionTime, header.EchoTime = round(timing.repetition_ms, 1), round(timing.echo_ms, 1)
    header.EchoTrainLength = 1 if series.sequence == SAGITTAL_T1 else 16
    if timing.inversion_ms:
        header.InversionTime = round(timing.inversion_ms, 1)


def _add_pixel_format(header: Dataset, *, signed: bool) -> None:
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = int(signed)


def _add_geometry(header: Dataset, stack: Stack) -> None:
    _, header.Rows, header.Columns = stack.pixels.shape
    header.PixelSpacing = [_decimal(value) for value in stack.spacing_mm]
    header.ImageOrientationPatient = [
        _decimal(value) for value in (*stack.row_direction, *stack.column_direction)
    ]
    header.SpacingBetweenSlices = _decimal(stack.step_mm)
    header.SliceThickness = _decimal(SLICE_FILLS * stack.step_mm)


def _add_slice(header: Dataset, stack: Stack, index: int) -> None:
    header.InstanceNumber = int(stack.instance_numbers[index])
    header.SOPInstanceUID = uid(header.SeriesInstanceUID, header.InstanceNumber)
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.ImagePositionPatient = [_decimal(value) for value in stack.origins_mm[index]]
    header.SliceLocation = _decimal(stack.positions_mm[index])
    header.PixelData = stack.pixels[index].astype("<i2" if header.PixelRepresentation else "<u2").tobytes()


def _decimal(value: float) -> str:
    """A number within the 16 characters of DICOM's decimal strings."""
    return f"{value:.9f}" if abs(value) < 1000 else f"{value:.6f}"
