"""Acquisition tags in classic and Enhanced files, and every way in which a tag can be unusable."""

import numpy as np
import pytest
from pydicom import Dataset

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import Limits
from kitlib.mri.dicom.tags import read_tags
from tests.mri.builders import make_enhanced_dataset, make_slice_dataset, write


def tags_of(tmp_path, **tags):
    return read_tags(write(tmp_path / "1.dcm", make_slice_dataset(**tags)))


def test_tags_are_plain_values(tmp_path):
    tags = tags_of(
        tmp_path,
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.4",
        SeriesDescription="Sag T2_TSE",
        ProtocolName="L-Spine",
        ImageType=["ORIGINAL", "PRIMARY", "M"],
        ScanningSequence=["GR", "IR"],
        RepetitionTime=2500,
        EchoTime=90.5,
        InversionTime=150,
        ContrastBolusAgent="some",
        DiffusionBValue=500.0,
    )
    assert (tags.study_uid, tags.series_uid, tags.is_image) == ("1.2.3", "1.2.3.4", True)
    assert tags.words == "sag t2 tse l spine"
    assert tags.kinds == {"ORIGINAL", "PRIMARY", "M"}
    assert (tags.repetition_ms, tags.echo_ms, tags.inversion_ms) == (2500, 90.5, 150)
    assert tags.is_gradient_echo
    assert tags.has_agent
    assert tags.is_diffusion


def test_what_is_not_said_is_empty(tmp_path):
    tags = tags_of(tmp_path, EchoTime=None, ContrastBolusAgent="", SeriesDescription="", ImageType=None)
    assert (tags.words, tags.kinds, tags.study_uid, tags.series_uid) == ("", frozenset(), "", "")
    assert np.isnan([tags.repetition_ms, tags.echo_ms, tags.inversion_ms]).all()
    assert (tags.is_gradient_echo, tags.has_agent, tags.is_diffusion) == (False, False, False)


@pytest.mark.parametrize(("value", "expected"), [("90", 90.0), ("n/a", np.nan), (["20", "80"], 20.0)])
def test_a_senseless_time_is_none(tmp_path, value, expected):
    dataset = make_slice_dataset()
    dataset.add_new("EchoTime", "LO", value)
    np.testing.assert_equal(read_tags(write(tmp_path / "1.dcm", dataset)).echo_ms, expected)


def test_enhanced_files_say_it_in_their_groups(tmp_path):
    dataset = make_enhanced_dataset()
    timing, echo, kind = Dataset(), Dataset(), Dataset()
    timing.RepetitionTime, echo.EffectiveEchoTime, kind.AcquisitionContrast = 600.0, 11.0, "T1"
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.MRTimingAndRelatedParametersSequence, shared.MRImageFrameTypeSequence = [timing], [kind]
    dataset.PerFrameFunctionalGroupsSequence[0].MREchoSequence = [echo]
    tags = read_tags(write(tmp_path / "1.dcm", dataset))
    assert (tags.repetition_ms, tags.echo_ms, tags.words) == (600.0, 11.0, "t1")


def test_a_header_of_any_length_is_read(tmp_path):
    dataset = make_slice_dataset(SeriesDescription="T2", EchoTime=90)
    dataset.add_new(0x00091010, "OB", b"x" * 2**17)
    assert read_tags(write(tmp_path / "1.dcm", dataset)).echo_ms == 90


def test_what_is_no_image_says_so(tmp_path):
    tags = read_tags(write(tmp_path / "1.dcm", make_slice_dataset(missing=("Rows", "PixelData"))))
    assert not tags.is_image


def test_tags_are_not_printed(tmp_path):
    assert "T2" not in repr(tags_of(tmp_path, SeriesDescription="T2"))


def test_files_that_cannot_be_opened_are_slice_errors(tmp_path):
    junk = tmp_path / "junk.dcm"
    junk.write_bytes(b"junk")
    whole = write(tmp_path / "1.dcm", make_slice_dataset())
    for path in (tmp_path / "absent", tmp_path, junk):
        with pytest.raises(SliceError):
            read_tags(path)
    with pytest.raises(SliceError, match="too large"):
        read_tags(whole, Limits(file_mb=(whole.stat().st_size - 1) / 1e6))
