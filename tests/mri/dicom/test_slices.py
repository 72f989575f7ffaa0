import os
import zlib
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filebase import DicomBytesIO

from kitlib.mri.dicom.frames import CONTRAST
from kitlib.mri.dicom.header import Limits
from tests.mri.builders import (
    AXIAL,
    CODECS,
    FIRST_MM,
    encapsulate_into,
    make_compressed_dataset,
    make_enhanced_dataset,
    make_image,
    make_slice_dataset,
    read_file,
    write,
)

NAN, INF = "nan", "inf"


def read(tmp_path, dataset, limits=None):
    path = write(tmp_path / "1.dcm", dataset)
    return read_file(path, limits) if limits else read_file(path)


def codes(faults):
    return [fault.code for fault in faults]


def pixels_of(piece):
    pixels = np.empty(piece.stored.shape, dtype=np.float32)
    piece.rescale_into(pixels)
    return pixels


def as_value_text(dataset, keyword, text):
    """Put non-numeric text into a tag, as broken writers do."""
    element = dataset[keyword]
    encoded = text.encode().ljust(len(text) + len(text) % 2)
    tag = pydicom.tag.Tag(keyword)
    dataset._dict[tag] = pydicom.dataelem.RawDataElement(
        tag, element.VR, len(encoded), encoded, 0, False, True
    )
    return dataset


# What pydicom 3.0.2 silently accepts, or fails on with one of nine exceptions, and its fault here.
REFUSED = {
    "colour": (
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
        "slice.colour",
    ),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "slice.colour"),
    "no samples": ({"missing": "SamplesPerPixel"}, "slice.header"),
    "no photometric": ({"missing": "PhotometricInterpretation"}, "slice.colour"),
    "no rows": ({"missing": "Rows"}, "slice.header"),
    "rows 0": ({"Rows": 0}, "slice.header"),
    "no columns": ({"missing": "Columns"}, "slice.header"),
    "frames 0": ({"NumberOfFrames": 0}, "slice.header"),
    "frames -1": ({"NumberOfFrames": -1}, "slice.header"),
    "a CT": ({"Modality": "CT"}, "slice.modality"),
    "a screenshot": ({"Modality": "OT"}, "slice.modality"),
    "no bits allocated": ({"missing": "BitsAllocated"}, "slice.header"),
    "no bits stored": ({"missing": "BitsStored"}, "slice.header"),
    "no sign": ({"missing": "PixelRepresentation"}, "slice.header"),
    "bits 12 allocated": ({"BitsAllocated": 12, "BitsStored": 12, "HighBit": 11}, "slice.bits"),
    "bits stored 17": ({"BitsStored": 17, "HighBit": 16}, "slice.bits"),
    "bits stored 0": ({"BitsStored": 0}, "slice.bits"),
    "high bit below": ({"HighBit": 7}, "slice.bits"),
    "position missing": ({"missing": "ImagePositionPatient"}, "slice.position"),
    "position None": ({"ImagePositionPatient": None}, "slice.position"),
    "position of two": ({"ImagePositionPatient": [1, 2]}, "slice.position"),
    "position nan": ({"ImagePositionPatient": [1, 2, NAN]}, "slice.position"),
    "position inf": ({"ImagePositionPatient": [1, 2, INF]}, "slice.position"),
    "position far": ({"ImagePositionPatient": [1, 2, 1e9]}, "slice.position"),
    "orientation missing": ({"missing": "ImageOrientationPatient"}, "slice.orientation"),
    "orientation zero": ({"ImageOrientationPatient": [0] * 6}, "slice.orientation"),
    "orientation of five": ({"ImageOrientationPatient": [1, 0, 0, 0, 1]}, "slice.orientation"),
    "orientation nan": ({"ImageOrientationPatient": [1, 0, 0, 0, NAN, 0]}, "slice.orientation"),
    "orientation not orthogonal": ({"ImageOrientationPatient": [1, 0, 0, 0.6, 0.8, 0]}, "slice.orientation"),
    "orientation parallel": ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "slice.orientation"),
    "orientation too long": ({"ImageOrientationPatient": [2, 0, 0, 0, 2, 0]}, "slice.orientation"),
    "spacing missing": ({"missing": "PixelSpacing"}, "slice.spacing"),
    "spacing None": ({"PixelSpacing": None}, "slice.spacing"),
    "spacing 0": ({"PixelSpacing": [0, 0.5]}, "slice.spacing"),
    "spacing negative": ({"PixelSpacing": [-0.5, 0.5]}, "slice.spacing"),
    "spacing of one": ({"PixelSpacing": [0.5]}, "slice.spacing"),
    "spacing of centimetres": ({"PixelSpacing": [45, 45]}, "slice.spacing"),
    "spacing of micrometres": ({"PixelSpacing": [0.05, 0.05]}, "slice.spacing"),
    "a field of metres": (
        {"image": make_image(size=(8, 600)), "PixelSpacing": [0.65, 6.5]},
        "slice.spacing",
    ),
    "spacing nan": ({"PixelSpacing": [NAN, NAN]}, "slice.spacing"),
    "slope 0": ({"RescaleSlope": 0, "RescaleIntercept": 0}, "slice.rescale"),
    "slope nan": ({"RescaleSlope": NAN}, "slice.rescale"),
    "slope of two": ({"RescaleSlope": [1, 2]}, "slice.rescale"),
    "intercept beyond floats": ({"RescaleSlope": 1, "RescaleIntercept": 1e300}, "slice.rescale"),
    "intercept inf": ({"RescaleIntercept": INF}, "slice.rescale"),
    "pixels all alike": ({"image": np.full((6, 6), 9, dtype=np.uint16)}, "slice.constant"),
    "pixels missing": ({"missing": "PixelData"}, "slice.pixels"),
    "pixels empty": ({"PixelData": b""}, "slice.pixels"),
    "pixels short": ({"PixelData": b"\0" * 100}, "slice.pixels"),
    "rows too few": ({"Rows": 11}, "slice.pixels"),
    "rows too many": ({"Rows": 13}, "slice.pixels"),
    "frames without pixels": ({"NumberOfFrames": 2}, "slice.position"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_slice_has_its_code(tmp_path, name):
    options, code = REFUSED[name]
    slices, faults = read(tmp_path, make_slice_dataset(**options))
    assert slices == []
    assert set(codes(faults)) == {code}
    assert {fault.file for fault in faults} == {"1.dcm"}


@pytest.mark.parametrize(
    ("keyword", "text", "code"),
    [
        ("ImagePositionPatient", r"a\b\c", "slice.position"),
        ("PixelSpacing", r"0,5\0,5", "slice.spacing"),
        ("RescaleSlope", "one", "slice.rescale"),
        ("NumberOfFrames", "x", "slice.header"),
    ],
)
def test_text_that_is_no_number_is_refused(tmp_path, keyword, text, code):
    dataset = make_slice_dataset(RescaleSlope=1, NumberOfFrames=1)
    slices, faults = read(tmp_path, as_value_text(dataset, keyword, text))
    assert (slices, codes(faults)) == ([], [code])


@pytest.mark.parametrize("keep", [0, 100, 140, 200, 300, 500, -1, -100])
def test_a_file_cut_short_is_refused_whereever_the_cut_is(tmp_path, keep):
    path = write(tmp_path / "1.dcm", make_slice_dataset())
    path.write_bytes(path.read_bytes()[:keep])
    slices, faults = read_file(path)
    assert slices == []
    assert len(faults) == 1
    assert faults[0].code in (
        "slice.not_dicom",
        "slice.header",
        "slice.colour",
        "slice.position",
        "slice.pixels",
    )


def test_every_single_flipped_byte_is_contained(tmp_path):
    path = write(tmp_path / "1.dcm", make_slice_dataset(make_image(size=(2, 2))))
    whole = path.read_bytes()
    for place in range(128, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        slices, faults = read_file(path)
        assert slices or faults


@pytest.mark.parametrize(
    "content", [b"", b"not DICOM", b"\0" * 500, b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" * 99]
)
def test_what_is_no_dicom_is_refused(tmp_path, content):
    path = tmp_path / "1.dcm"
    path.write_bytes(content)
    slices, faults = read_file(path)
    assert (slices, codes(faults)) == ([], ["slice.not_dicom"])


def test_sequences_nested_without_end_are_refused(tmp_path):
    path = write(tmp_path / "1.dcm", make_slice_dataset(missing="PixelData"))
    sequence, item = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff", b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(path.read_bytes() + (sequence + item) * 5000)
    assert codes(read_file(path)[1]) == ["slice.header"]


def test_a_name_that_is_no_text_still_fits_into_a_table(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.dcm")
    path.write_bytes(b"")
    assert read_file(path)[1][0].file.encode() == b"?.dcm"


def test_what_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "folder.dcm").mkdir()
    (tmp_path / "link.dcm").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo.dcm")  # opening it would block for ever
    (tmp_path / "to_fifo.dcm").symlink_to(tmp_path / "fifo.dcm")
    (tmp_path / "device.dcm").symlink_to("/dev/zero")
    for name in ("folder.dcm", "link.dcm", "absent.dcm", "fifo.dcm", "to_fifo.dcm", "device.dcm"):
        assert codes(read_file(tmp_path / name)[1]) == ["slice.unreadable"]


def test_a_deflate_bomb_is_never_unpacked(tmp_path):
    header = DicomBytesIO()
    header.is_implicit_VR, header.is_little_endian = False, True
    dataset = make_slice_dataset(Rows=4096, Columns=4096)
    dataset.PixelData = bytes(2 * 4096 * 4096)
    pydicom.filewriter.write_dataset(header, dataset)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(header.getvalue()) + packer.flush()
    path = write(tmp_path / "1.dcm", make_slice_dataset())
    meta = path.read_bytes()[: path.read_bytes().index(b"\x08\x00\x16\x00")]
    plain, deflated = (
        syntax.encode() for syntax in (uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian)
    )
    meta = meta.replace(bytes([len(plain) + 1, 0]) + plain + b"\0", bytes([len(deflated), 0]) + deflated)
    path.write_bytes(meta + packed)
    assert len(packed) < 100_000
    slices, faults = read_file(path)
    assert (slices, codes(faults)) == ([], ["slice.transfer_syntax"])


@pytest.mark.parametrize(
    "syntax", [uid.MPEG2MPML, uid.SMPTEST211020UncompressedProgressiveActiveVideo, "1.2.3.4"]
)
def test_transfer_syntaxes_off_the_list_are_refused(tmp_path, syntax):
    path = write(tmp_path / "1.dcm", make_slice_dataset())
    dataset = pydicom.dcmread(path)
    del dataset.PixelData  # pydicom would not write it with these
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    with BytesIO() as buffer:
        pydicom.dcmwrite(buffer, dataset, implicit_vr=False, little_endian=True, force_encoding=True)
        path.write_bytes(buffer.getvalue())
    (fault,) = read_file(path)[1]
    assert fault.code == "slice.transfer_syntax"
    assert "1.2.3.4" not in fault.detail  # whatever the text


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_header_of_more_items_than_frames_need_is_not_parsed(tmp_path, syntax):
    path = write(tmp_path / "1.dcm", make_slice_dataset(missing="PixelData", syntax=syntax))
    item = (b"\xfe\xff\x00\xe0" if syntax.is_little_endian else b"\xff\xfe\xe0\x00") + bytes(4)
    path.write_bytes(path.read_bytes() + item * 140_000)
    assert codes(read_file(path)[1]) == ["slice.too_large"]


def test_numbers_of_pages_of_digits_are_in_no_message(tmp_path):
    dataset = as_value_text(make_slice_dataset(NumberOfFrames=1), "NumberOfFrames", "1234" * 100)
    (fault,) = read(tmp_path, dataset)[1]
    assert fault.code == "slice.header"
    assert "1234" not in fault.detail


def test_pixels_that_claim_more_than_the_file_has_are_refused(tmp_path):
    dataset = make_slice_dataset(make_image(size=(4, 40)))
    path = write(tmp_path / "1.dcm", dataset)
    content = path.read_bytes()
    head = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    # 8 bytes before the pixels: they are less than a row, which would pass as padding at the end
    path.write_bytes(content[:head] + (10**6).to_bytes(4, "little") + bytes(8) + content[head + 4 :])
    assert codes(read_file(path)[1]) == ["slice.pixels"]


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_zeros_after_the_pixels_are_padding_and_other_rows_are_not(tmp_path, syntax):
    image = make_image(size=(12, 10)) + 1
    whole = make_slice_dataset(image, syntax=syntax).PixelData
    (padded,), faults = read(tmp_path, make_slice_dataset(image, syntax=syntax, PixelData=whole + bytes(512)))
    assert (padded.stored == image).all()
    assert faults == []
    assert codes(read(tmp_path, make_slice_dataset(PixelData=whole + whole))[1]) == ["slice.pixels"]


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_two_elements_of_pixels_are_refused_whichever_would_be_taken(tmp_path, syntax):
    path = write(tmp_path / "1.dcm", make_slice_dataset(make_image(1), syntax=syntax))
    content = path.read_bytes()
    element = content[content.rindex(b"\xe0\x7f\x10\x00") :]
    path.write_bytes(content + element)
    (fault,) = read_file(path)[1]
    assert (fault.code, fault.detail) == ("slice.pixels", "2 elements of pixels, not 1")


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian]
)
def test_fragments_of_pixels_that_are_not_compressed_are_refused(tmp_path, syntax):
    path = write(tmp_path / "1.dcm", make_slice_dataset(syntax=syntax))
    content = path.read_bytes()
    order = "little" if syntax.is_little_endian else "big"
    length = (240).to_bytes(4, order)
    start = content.rindex(length)
    item, end = ((0xFFFE).to_bytes(2, order) + number.to_bytes(2, order) for number in (0xE000, 0xE0DD))
    fragments = item + length + content[start + 4 :] + end + bytes(4)
    path.write_bytes(content[:start] + b"\xff" * 4 + fragments)
    (fault,) = read_file(path)[1]  # and not pixels that begin with the fragment's header
    assert (fault.code, fault.detail[:27]) == ("slice.pixels", "the pixels stand in fragmen")


def test_pixels_of_floats_are_refused(tmp_path):
    values = np.full((12, 10), np.inf, np.float32)
    dataset = make_slice_dataset(BitsAllocated=32, BitsStored=32, HighBit=31, missing="PixelData")
    dataset.FloatPixelData = values.tobytes()
    assert codes(read(tmp_path, dataset)[1]) == ["slice.pixels"]


def test_what_is_empty_is_as_absent(tmp_path):
    empty = {"SeriesNumber": None, "PatientID": "", "EchoTime": None, "ImageType": None}
    (piece,), faults = read(tmp_path, make_slice_dataset(**empty))
    assert faults == []
    assert piece.frame.contrast == ("",) * len(CONTRAST)
    assert piece.header.patient_id == ""


@pytest.mark.parametrize(
    "limits",
    [Limits(file_mb=0.0001), Limits(side_px=11), Limits(file_values=12 * 10 - 1), Limits(frames=0)],
)
def test_what_is_too_large_is_refused_before_pixels_are_touched(tmp_path, limits):
    dataset = make_slice_dataset(PixelData=b"\0" * 2)  # touching these would be slice.pixels
    slices, faults = read(tmp_path, dataset, limits)
    assert (slices, codes(faults)) == ([], ["slice.too_large"])


def test_no_fault_tells_of_the_patient(tmp_path):
    dataset = make_slice_dataset(PatientName="SECRET^NAME", PatientID="SECRET", PixelData=b"\0")
    _, faults = read(tmp_path, dataset)
    assert "SECRET" not in repr(faults)


def test_values_that_rescaling_lifts_above_zero_are_no_flipped_signs(tmp_path):
    low = {"image": make_image(highest=900).astype(np.int16) - 1000, "PixelRepresentation": 1}
    for intercept, expected in ((1024, []), (0, ["slice.sign"])):
        dataset = make_slice_dataset(**low, RescaleSlope=1, RescaleIntercept=intercept)
        assert codes(read(tmp_path, dataset)[1]) == expected


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"InstanceNumber": None}, "slice.instance_number"),
        ({"missing": "InstanceNumber"}, "slice.instance_number"),
        ({"InstanceNumber": -3}, "slice.instance_number"),
        ({"image": make_image(highest=5000), "BitsStored": 12, "HighBit": 11}, "slice.unused_bits"),
        ({"image": make_image(highest=1000), "BitsStored": 12, "HighBit": 15}, "slice.unused_bits"),
        (
            {"image": make_image(highest=4000), "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1},
            "slice.sign",
        ),
    ],
)
def test_a_doubtful_slice_is_kept_and_noted(tmp_path, options, code):
    slices, faults = read(tmp_path, make_slice_dataset(**options))
    assert len(slices) == 1
    assert [(fault.code, fault.action) for fault in faults] == [(code, "slice kept")]
    if code == "slice.instance_number":
        assert slices[0].instance_number == -1


@pytest.mark.parametrize(
    "options",
    [
        {"missing": "HighBit"},
        {"missing": "Modality"},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"ImageOrientationPatient": [0.71, 0.71, 0, 0, 0, -1]},
        {"NumberOfFrames": 1},
    ],
)
def test_what_may_be_absent_or_rounded_is_no_fault(tmp_path, options):
    slices, faults = read(tmp_path, make_slice_dataset(**options))
    assert (len(slices), faults) == (1, [])


def test_the_place_of_a_slice_is_its_headers(tmp_path):
    (piece,), faults = read(tmp_path, make_slice_dataset(orientation=AXIAL, number=7))
    assert faults == []
    np.testing.assert_allclose(piece.frame.origin_mm, FIRST_MM)
    np.testing.assert_allclose(piece.frame.directions, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    assert piece.frame.spacing_mm == (0.5, 0.75)
    assert (piece.instance_number, piece.file) == (7, "1.dcm")


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]
)
def test_native_pixels_come_back(tmp_path, dtype, syntax):
    image = (make_image(highest=200).astype(int) - (100 if dtype[0] == "i" else 0)).astype(dtype)
    dataset = make_slice_dataset(image, syntax=syntax, RescaleIntercept=-1)
    if dtype[1] == "1" and not syntax.is_little_endian:
        dataset["PixelData"].VR = "OB"
    (piece,), _ = read(tmp_path, dataset)
    np.testing.assert_array_equal(pixels_of(piece), image.astype(np.float32) - 1)


def test_rescale(tmp_path):
    image = make_image()
    (piece,), _ = read(tmp_path, make_slice_dataset(image, RescaleSlope=2.5, RescaleIntercept=-100))
    np.testing.assert_allclose(pixels_of(piece), image * 2.5 - 100.0)


@pytest.mark.parametrize(("stored", "high_bit"), [(12, 11), (12, 15), (10, 12)])
@pytest.mark.parametrize("signed", [0, 1])
def test_bits_outside_the_stored_ones_are_masked(tmp_path, stored, high_bit, signed):
    image = make_image(highest=2**stored).astype(np.int64)
    shifted = image << (high_bit + 1 - stored)
    overlay = np.random.default_rng(5).integers(0, 2**16, image.shape)
    field = (2**stored - 1) << (high_bit + 1 - stored)
    dataset = make_slice_dataset(
        ((shifted & field) | (overlay & ~field)).astype(np.uint16),
        BitsStored=stored,
        HighBit=high_bit,
        PixelRepresentation=signed,
    )
    (piece,), _ = read(tmp_path, dataset)
    expected = image - 2**stored * (image >= 2 ** (stored - 1)) if signed else image
    np.testing.assert_array_equal(piece.stored, expected)


@pytest.mark.parametrize(("dtype", "stored"), [("u2", 12), ("u2", 16), ("i2", 16), ("u1", 8)])
def test_monochrome1_is_turned_round(tmp_path, dtype, stored):
    image = make_image(highest=120).astype(dtype)
    bits = {"BitsStored": stored, "HighBit": stored - 1}
    (piece,), faults = read(
        tmp_path, make_slice_dataset(image, PhotometricInterpretation="MONOCHROME1", **bits)
    )
    pixels = pixels_of(piece)
    np.testing.assert_array_equal(pixels - pixels.min(), float(image.max()) - image)
    assert faults == []


SMOOTH = np.add.outer(np.arange(64), np.arange(80)).astype(np.uint16)


@pytest.mark.parametrize("codec", CODECS)
def test_compressed_pixels_come_back(tmp_path, codec):
    slices, faults = read(tmp_path, make_compressed_dataset(SMOOTH, codec, tmp_path))
    assert faults == []
    np.testing.assert_allclose(slices[0].stored, SMOOTH, atol=3 if codec == "baseline JPEG" else 0)


@pytest.mark.parametrize("codec", CODECS[1:])  # RLE says nothing of its size
def test_compressed_pixels_of_another_size_are_refused(tmp_path, codec):
    dataset = make_compressed_dataset(SMOOTH, codec, tmp_path)
    dataset.Rows = 48
    assert codes(read(tmp_path, dataset)[1]) == ["slice.pixels"]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_compressed_pixels_cut_short_are_refused(tmp_path, codec, share):
    image = make_image(size=(64, 80))
    dataset = make_compressed_dataset(image, codec, tmp_path)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    encapsulate_into(dataset, frame[: int(share * len(frame))], dataset.file_meta.TransferSyntaxUID)
    slices, faults = read(tmp_path, dataset)
    assert (slices, codes(faults)) == ([], ["slice.pixels"])


def test_compressed_pixels_far_longer_than_the_image_are_refused(tmp_path):
    dataset = make_compressed_dataset(SMOOTH, "RLE", tmp_path)
    encapsulate_into(dataset, bytes(100_000), uid.RLELossless)
    assert codes(read(tmp_path, dataset)[1]) == ["slice.too_large"]


def test_frames_that_only_itk_decodes_keep_their_order(tmp_path):
    dataset = make_enhanced_dataset(frames=2)
    frames = []
    for index in range(2):
        one = make_compressed_dataset(make_image(index), "JPEG", tmp_path)
        frames.append(next(generate_frames(one.PixelData, number_of_frames=1)))
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = one.file_meta.TransferSyntaxUID
    slices, faults = read(tmp_path, dataset)
    assert faults == []
    for index, piece in enumerate(slices):
        np.testing.assert_array_equal(piece.stored, make_image(index))


def test_enhanced_frames_have_their_own_place_and_rescale(tmp_path):
    slices, faults = read(tmp_path, make_enhanced_dataset(frames=3, slopes=(1, 2, 3)))
    assert faults == []
    assert len(slices) == 3
    for index, piece in enumerate(slices):
        np.testing.assert_allclose(piece.frame.origin_mm[0], FIRST_MM[0] - 4 * index)
        np.testing.assert_allclose(pixels_of(piece), make_image(index) * (index + 1.0))
        assert piece.frame.spacing_mm == (0.5, 0.75)


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("PlanePositionSequence", "slice.position"),
        ("PlaneOrientationSequence", "slice.orientation"),
        ("PixelMeasuresSequence", "slice.spacing"),
        ("SharedFunctionalGroupsSequence", "slice.orientation"),
        ("PerFrameFunctionalGroupsSequence", "slice.position"),
    ],
)
def test_enhanced_frames_without_a_place_are_refused(tmp_path, missing, code):
    slices, faults = read(tmp_path, make_enhanced_dataset(missing=missing))
    assert slices == []
    assert set(codes(faults)) == {code}


def test_one_bad_frame_costs_only_itself(tmp_path):
    dataset = make_enhanced_dataset(frames=4)
    del dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    slices, faults = read(tmp_path, dataset)
    assert (len(slices), codes(faults)) == (3, ["slice.position"])
    np.testing.assert_array_equal(slices[1].stored, make_image(2))


def test_frames_and_groups_that_differ_in_number_are_refused(tmp_path):
    dataset = make_enhanced_dataset(frames=4)
    del dataset.PerFrameFunctionalGroupsSequence[3]
    assert codes(read(tmp_path, dataset)[1]) == ["slice.frames"]


def test_an_enhanced_file_of_one_frame_is_a_slice(tmp_path):
    slices, faults = read(tmp_path, make_enhanced_dataset(frames=1))
    assert (len(slices), faults) == (1, [])
