import hashlib
import warnings
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack
from kitlib.phantom.dicom import ABSENT_RATES, ENCODING_DEFECTS, uid, write_series
from kitlib.phantom.study import PhantomSeries, PhantomStudy, draw_study
from kitlib.terms import SAGITTAL_T1

PATIENT = "PatientID PatientName PatientBirthDate PatientSex ReferringPhysicianName AccessionNumber"
STUDY = (
    "StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID StudyDate StudyTime StudyID SeriesNumber Modality"
)
IMAGE = "SOPClassUID SOPInstanceUID InstanceNumber ImageType Manufacturer WindowCenter WindowWidth"
PLANE = "PixelSpacing ImageOrientationPatient ImagePositionPatient PatientPosition"
PIXELS = "SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit"
MR = "ScanningSequence SequenceVariant ScanOptions MRAcquisitionType RepetitionTime EchoTime"
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
        written(root, series)
    return root


@pytest.fixture(scope="module")
def short(study: PhantomStudy) -> PhantomSeries:
    """Three slices of a series."""
    first = study.series[0]
    return replace(first, stacks=(part(first.stacks[0], slice(3)),))


def part(stack: Stack, slices: slice, **changes: object) -> Stack:
    """Some slices of a stack."""
    names = ("pixels", "origins_mm", "instance_numbers", "files")
    return replace(stack, **{**{name: getattr(stack, name)[slices] for name in names}, **changes})


def written(root: Path, series: PhantomSeries, defects: Collection[str] = ()) -> Path:
    target = root / str(series.series_id)
    target.mkdir()
    write_series(target, 4, series, defects=defects)
    return target


def itk_image(file: Path) -> object:
    with warnings.catch_warnings():  # its import warns, and as an error the warning kills the interpreter
        warnings.simplefilter("ignore")
        import SimpleITK
    return SimpleITK.ReadImage(str(file))


def itk_pixels(file: Path) -> np.ndarray:
    import SimpleITK

    return SimpleITK.GetArrayFromImage(itk_image(file))[0]


def assert_read_back(target: Path, series: PhantomSeries) -> Ledger:
    """Read a series that must keep every slice in some stack; returns the stacks and the faults."""
    ledger = Ledger()
    found = {
        number: (stack, index)
        for stack in read_series(target, ledger)
        for index, number in enumerate(stack.instance_numbers)
    }
    for stack in series.stacks:
        for index, number in enumerate(stack.instance_numbers):
            read, at = found[number]
            assert np.array_equal(read.pixels[at], stack.pixels[index])
            assert np.allclose(read.to_patient(3, 5, at), stack.to_patient(3, 5, index), atol=1e-5)
    return ledger


def test_the_kit_reads_back_what_was_drawn(study: PhantomStudy, folder: Path) -> None:
    for series in study.series:
        assert len(assert_read_back(folder / str(series.series_id), series)) == 0


def test_a_second_reader_sees_the_same_geometry(study: PhantomStudy, folder: Path) -> None:
    for series in study.series:
        for stack in series.stacks:
            for index in (0, len(stack) - 1):
                file = folder / str(series.series_id) / stack.files[index]
                place = itk_image(file).TransformIndexToPhysicalPoint((7, 11, 0))
                assert np.allclose(place, stack.to_patient(7, 11, index), atol=1e-3)
                assert np.array_equal(itk_pixels(file), stack.pixels[index])


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


def test_both_signs_occur_and_optional_tags_come_and_go(tmp_path: Path, short: PhantomSeries) -> None:
    signs, optional = set(), dict.fromkeys(("SpacingBetweenSlices", "SliceThickness", "SliceLocation"), 0)
    for number in range(60):
        target = written(tmp_path, replace(short, series_id=number))
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in target.iterdir()]
        signs.add(headers[0].PixelRepresentation)
        for keyword in optional:
            assert len({keyword in header for header in headers}) == 1
            optional[keyword] += keyword in headers[0]
    assert signs == {0, 1}
    assert set(optional) < set(ABSENT_RATES)
    assert all(0 < count < 60 for count in optional.values())


@pytest.mark.parametrize("defect", ENCODING_DEFECTS)
def test_encodings_asked_for_reach_some_series_and_change_no_pixel(
    tmp_path: Path, short: PhantomSeries, defect: str
) -> None:
    seen = set()
    for number in range(8):
        series = replace(short, series_id=number)
        target = written(tmp_path, series, [defect])
        file = target / series.stacks[0].files[1]
        header = pydicom.dcmread(file)
        is_encoded = {
            "rle": header.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless,
            "signed": header.pixel_array.min() < 0 < header.get("RescaleIntercept", 0),
            "monochrome1": header.PhotometricInterpretation == "MONOCHROME1",
        }
        assert {name for name, is_there in is_encoded.items() if is_there} <= {defect}
        seen.add(is_encoded[defect])
        assert_read_back(target, series)
        assert np.array_equal(itk_pixels(file), series.stacks[0].pixels[1])
    assert seen == {True, False}


def test_all_encodings_at_once(tmp_path: Path, short: PhantomSeries) -> None:
    for number in range(12):
        series = replace(short, series_id=number)
        assert_read_back(written(tmp_path, series, ENCODING_DEFECTS), series)


def test_the_same_series_gives_the_same_bytes(tmp_path: Path, short: PhantomSeries) -> None:
    for number in range(6):
        digests = []
        for again in ("one", "two"):
            (tmp_path / again).mkdir(exist_ok=True)
            target = written(tmp_path / again, replace(short, series_id=number), ENCODING_DEFECTS)
            files = sorted(target.iterdir())
            digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
        assert digests[0] == digests[1]


def test_two_sizes_in_a_series(tmp_path: Path, study: PhantomStudy) -> None:
    whole = study.series[0].stacks[0]
    cropped = part(whole, slice(3, 6), pixels=whole.pixels[3:6, 8:, :-8])
    series = replace(study.series[0], stacks=(part(whole, slice(3)), cropped))
    ledger = assert_read_back(written(tmp_path, series), series)
    assert {fault.code for fault in ledger} == {"series.mixed_sizes"}


def test_a_position_twice_keeps_the_first_number(tmp_path: Path, short: PhantomSeries) -> None:
    (stack,) = short.stacks
    again = part(stack, slice(2), instance_numbers=np.array([101, 102]), files=("101.dcm", "102.dcm"))
    target = written(tmp_path, replace(short, stacks=(stack, again)))
    ledger = assert_read_back(target, short)
    assert [fault.code for fault in ledger] == ["stack.repeated"] * 2
    assert np.array_equal(itk_pixels(target / "102.dcm"), stack.pixels[1])


def test_uids_follow_from_their_parts() -> None:
    assert uid(1, "a") == uid(1, "a") != uid(1, "b")
    assert pydicom.uid.UID(uid("x")).is_valid
