import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest

from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.phantom.dicom import uid, write_series
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.terms import SAGITTAL_T1

PATIENT = "PatientID PatientName PatientBirthDate PatientSex ReferringPhysicianName AccessionNumber"
STUDY = (
    "StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID StudyDate StudyTime StudyID SeriesNumber Modality"
)
IMAGE = (
    "SOPClassUID SOPInstanceUID InstanceNumber ImageType Manufacturer SliceLocation WindowCenter WindowWidth"
)
PLANE = "PixelSpacing ImageOrientationPatient ImagePositionPatient SliceThickness PatientPosition"
PIXELS = "SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit"
MR = "ScanningSequence SequenceVariant ScanOptions MRAcquisitionType RepetitionTime EchoTime EchoTrainLength"
REQUIRED = " ".join(
    [PATIENT, STUDY, IMAGE, PLANE, PIXELS, MR, "PixelRepresentation PositionReferenceIndicator"]
).split()


@pytest.fixture(scope="module")
def study() -> PhantomStudy:
    return draw_study(4, seed=7, size="smoke", missing_rate=0)


@pytest.fixture(scope="module")
def folder(study: PhantomStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("study")
    for series in study.series:
        target = root / str(series.series_id)
        target.mkdir()
        write_series(target, study.study_id, series)
    return root


def test_the_kit_reads_back_what_was_drawn(study: PhantomStudy, folder: Path) -> None:
    for series in study.series:
        ledger = Ledger()
        read = {
            tuple(stack.instance_numbers): stack
            for stack in read_series(folder / str(series.series_id), ledger)
        }
        assert len(ledger) == 0
        assert len(read) == len(series.stacks)
        for stack in series.stacks:
            found = read[tuple(stack.instance_numbers)]
            assert np.array_equal(found.pixels, stack.pixels)
            assert np.allclose(found.to_patient(3, 5, 1), stack.to_patient(3, 5, 1), atol=1e-5)


def test_a_second_reader_sees_the_same_geometry(study: PhantomStudy, folder: Path) -> None:
    with warnings.catch_warnings():  # its import warns, and as an error that warning kills the interpreter
        warnings.simplefilter("ignore")
        import SimpleITK
    for series in study.series:
        for stack in series.stacks:
            for index in (0, len(stack) - 1):
                image = SimpleITK.ReadImage(str(folder / str(series.series_id) / stack.files[index]))
                place = image.TransformIndexToPhysicalPoint((7, 11, 0))
                assert np.allclose(place, stack.to_patient(7, 11, index), atol=1e-3)
                assert np.array_equal(SimpleITK.GetArrayFromImage(image)[0], stack.pixels[index])


def test_headers_are_complete(folder: Path) -> None:
    instances = set()
    for file in sorted(folder.rglob("*.dcm")):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        assert not [tag for tag in REQUIRED if tag not in header]
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID
        assert header.file_meta.TransferSyntaxUID.is_little_endian
        assert header.PatientID == "PHANTOM4"
        instances.add(header.SOPInstanceUID)
    assert len(instances) == len(list(folder.rglob("*.dcm")))


def test_echo_times_tell_the_sequences_apart(study: PhantomStudy, folder: Path) -> None:
    for series in study.series:
        header = pydicom.dcmread(
            next((folder / str(series.series_id)).glob("*.dcm")), stop_before_pixels=True
        )
        assert header.SeriesDescription == series.sequence
        assert (header.EchoTime < 20) == (series.sequence == SAGITTAL_T1)


def test_both_signs_occur(tmp_path: Path, study: PhantomStudy) -> None:
    signs = set()
    for number in range(12):
        series = study.series[0]
        series = type(series)(number, series.sequence, series.stacks, series.timing)
        target = tmp_path / str(number)
        target.mkdir()
        write_series(target, 1, series)
        signs.add(pydicom.dcmread(target / "1.dcm").PixelRepresentation)
    assert signs == {0, 1}


def test_uids_follow_from_their_parts() -> None:
    assert uid(1, "a") == uid(1, "a") != uid(1, "b")
    assert pydicom.uid.UID(uid("x")).is_valid
