"""Read the header of a DICOM file: an allow-list of tags, read once up to the pixels, then validated.

Files are untrusted, so they are checked before their pixels are touched. A dataset holds patient data: it
lives inside one call, and no message quotes it or pydicom's messages about it.
"""

import io
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset, uid
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from kitlib.errors import SliceError
from kitlib.mri.dicom.plain import (
    DATASET_TAG,
    HEAD,
    LONG,
    META_START,
    PIXEL_DATA,
    PIXEL_TAG,
    SHORT,
    UNDEFINED,
    Content,
    plain_dataset,
    plain_pixels,
    text_of,
    value_of,
)

ALLOWED_TAGS: frozenset[BaseTag | int] = frozenset(
    Tag(keyword)
    for keyword in (
        *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
        *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
        *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
        *("SpacingBetweenSlices", "SliceThickness"),
        *("RescaleSlope", "RescaleIntercept"),
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
        *("InstanceNumber", "Modality", "SeriesInstanceUID", "StudyInstanceUID", "PatientID"),
        *("EchoTime", "EchoNumbers", "InversionTime", "ImageType"),
        *("TemporalPositionIdentifier", "AcquisitionNumber", "SeriesNumber"),
    )
)
TRANSFER_SYNTAXES = {
    *(uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless),
    *(*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes, *uid.JPEG2000TransferSyntaxes),
}
"""Still images only, and not Deflated: half a megabyte of that can unpack to half a gigabyte unnoticed."""

BITS_ALLOCATED = (8, 16, 32)
LARGEST_NUMBER = 2**31 - 1
# A header of 4096 frames is smaller. pydicom takes 30 microseconds and 2 kB per item, wanted or not.
LONGEST_HEADER_BYTES, MOST_ITEMS = 2**25, 2**17
ITEM, ITEM_BIG_ENDIAN = b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"  # DICOM PS3.5, 7.5
ITEM_BYTE, ITEM_BYTES = 0xE0, 8  # a byte of either, and the size including the length that follows
META_GROUP, FIRST_GROUP = 0x0002, 0x0008  # the first group of a file without preamble
FIRST_NUMBER, FIRST_LENGTH = 0x0018, 256  # largest of its first element, if it has no type names


@dataclass(frozen=True)
class Limits:
    """The largest file, image and series that are read: several times what a lumbar study needs."""

    file_mb: float = 256
    side_px: int = 4096
    frames: int = 4096
    file_values: int = 2**26  # rows x columns x frames of one file
    series_slices: int = 4096
    series_values: int = 2**28  # of all files of a series: 1 GB as float32


LIMITS = Limits()


@dataclass(frozen=True)
class Header:
    """The pixel format and identifiers of a file, checked against the limits."""

    transfer_syntax: UID
    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_inverted: bool  # MONOCHROME1: the smallest value is white
    instance_number: int  # -1 if unknown
    series_uid: str  # "" if unknown; for comparison only, never shown, like the next two
    study_uid: str
    patient_id: str


class classified(AbstractContextManager[None]):
    """Turn whatever a DICOM library raises inside the block into a SliceError with this code.

    pydicom raises about nine types of exceptions for bad files, most of them only when a value is accessed:
    the stage of reading is more informative than the type.
    """

    def __init__(self, code: str, what: str) -> None:
        self.code, self.what = code, what

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, SliceError):
            raise SliceError(self.code, f"{self.what}: {type(error).__name__}") from None


def starts_dicom(head: Content) -> bool:
    """Whether a file's first bytes are DICOM, with the preamble or recognisably without."""
    return bytes(head[META_START - 4 : META_START]) == b"DICM" or _bare_group(head) is not None


def open_dataset(
    content: Content, wanted: Collection[BaseTag | int] = ALLOWED_TAGS
) -> tuple[Dataset, UID, int]:
    """Read the wanted tags of a file before its pixels, its transfer syntax, and where its pixels begin."""
    if (plain := plain_dataset(content, wanted)) is not None:
        return plain[0], ExplicitVRLittleEndian, plain[1]
    head = bytes(content[:LONGEST_HEADER_BYTES])
    stream = io.BytesIO(head)
    with classified("slice.not_dicom", "this is no DICOM file"):
        syntax = _transfer_syntax(stream, content)
    if syntax not in TRANSFER_SYNTAXES:
        known = syntax.name if syntax.keyword else "of no known name"  # not the text of a file
        raise SliceError("slice.transfer_syntax", f"the transfer syntax {known} is not read")
    _check_items(head, ITEM if syntax.is_little_endian else ITEM_BIG_ENDIAN)
    with classified("slice.header", "the header does not parse"):
        dataset = read_dataset(
            stream,
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, *_: tag >= PIXEL_TAG,
            specific_tags=list(wanted),
        )
    return dataset, syntax, stream.tell()


def _transfer_syntax(stream: io.BytesIO, content: Content) -> UID:
    """The encoding of a file, by its meta information or else its first element; seeks to the dataset."""
    if not starts_dicom(content):
        raise SliceError("slice.not_dicom", "this is no DICOM file")
    start = META_START if _bare_group(content) is None else 0
    stream.seek(start)
    group, _, representation, _ = HEAD.unpack_from(content, start)
    if group == FIRST_GROUP:
        return ExplicitVRLittleEndian if representation in SHORT | LONG else ImplicitVRLittleEndian
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag >= DATASET_TAG)
    return UID(meta.TransferSyntaxUID)


def _bare_group(head: Content) -> int | None:
    """The group of the first element of a file that recognisably begins with one, else None."""
    if len(head) < META_START or bytes(head[META_START - 4 : META_START]) == b"DICM":
        return None
    group, number, representation, _ = HEAD.unpack_from(head)
    is_typed = representation in SHORT | LONG
    is_short = int.from_bytes(head[4:8], "little") <= FIRST_LENGTH
    if number > FIRST_NUMBER or not (is_typed or (group == FIRST_GROUP and is_short)):
        return None
    return group if group in (META_GROUP, FIRST_GROUP) else None


def _check_items(head: bytes, item: bytes) -> None:
    """Refuse more items than pydicom may read; bytes that merely look like one, in pixels, are rare."""
    if len(head) < ITEM_BYTES * MOST_ITEMS:
        return
    # Counting a byte takes a tenth of the time of counting items.
    may_be = np.count_nonzero(np.frombuffer(head, np.uint8) == ITEM_BYTE) > MOST_ITEMS
    if may_be and head.count(item) > MOST_ITEMS:
        raise SliceError("slice.too_large", f"the header has more than {MOST_ITEMS} items")


def read_pixel_bytes(content: Content, start: int, syntax: UID) -> tuple[Content, str]:
    """PixelData at `start`, still encoded, and its value representation; a view if the pixels are plain."""
    if (plain := plain_pixels(content, start, syntax)) is not None:
        return plain, "OW"
    with classified("slice.pixels", "the pixels cannot be found"):
        stream = io.BytesIO(content)
        stream.seek(start)
        tags: list[BaseTag] = []

        def noted(tag: BaseTag, *_: object) -> bool:
            tags.append(tag)
            return False

        dataset = read_dataset(
            stream,
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=noted,
            specific_tags=[PIXEL_DATA],
        )
        if (count := tags.count(PIXEL_DATA)) > 1:
            raise SliceError("slice.pixels", f"{count} elements of pixels, not 1")
        raw = dataset.get_item(PIXEL_DATA)
        if isinstance(raw, RawDataElement):
            if raw.length == UNDEFINED and not syntax.is_compressed:
                raise SliceError("slice.pixels", "the pixels stand in fragments, as only compressed ones do")
            if raw.length not in (UNDEFINED, len(raw.value)):
                raise SliceError("slice.pixels", f"{len(raw.value)} bytes of pixels, not {raw.length}")
        element = dataset[PIXEL_DATA]
        return bytes(element.value), element.VR


def judge(dataset: Dataset, syntax: UID, limits: Limits) -> Header:
    """Validate the header as plain numbers; SliceError if one is missing, invalid or beyond the limits."""
    if (samples := _whole(dataset, "SamplesPerPixel")) != 1:
        raise SliceError("slice.colour", f"{samples} samples a pixel; only grey images are read")
    if _text(dataset, "Modality") not in ("MR", ""):
        raise SliceError("slice.modality", "the modality is not MR")
    photometric = _text(dataset, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise SliceError("slice.colour", "the photometric interpretation is not MONOCHROME1 or MONOCHROME2")
    stored = _whole(dataset, "BitsStored")
    header = Header(
        transfer_syntax=syntax,
        frames=_whole(dataset, "NumberOfFrames", default=1),
        rows=_whole(dataset, "Rows"),
        columns=_whole(dataset, "Columns"),
        bits_allocated=_whole(dataset, "BitsAllocated"),
        bits_stored=stored,
        high_bit=_whole(dataset, "HighBit", default=stored - 1),
        is_signed=bool(_whole(dataset, "PixelRepresentation")),
        is_inverted=photometric == "MONOCHROME1",
        instance_number=_instance_number(dataset),
        series_uid=text_of(dataset, "SeriesInstanceUID"),
        study_uid=text_of(dataset, "StudyInstanceUID"),
        patient_id=text_of(dataset, "PatientID"),
    )
    _check_size(header, limits)
    _check_bits(header)
    return header


def _check_size(header: Header, limits: Limits) -> None:
    shape = header.frames, header.rows, header.columns
    if min(shape) < 1:
        raise SliceError("slice.header", f"frames, rows, columns are {shape}")
    longest, values = max(shape[1:]), header.frames * header.rows * header.columns
    if longest > limits.side_px or header.frames > limits.frames or values > limits.file_values:
        raise SliceError("slice.too_large", f"frames, rows, columns are {shape}")


def _check_bits(header: Header) -> None:
    bits = header.bits_allocated, header.bits_stored, header.high_bit
    if bits[0] not in BITS_ALLOCATED or not 1 <= bits[1] <= bits[2] + 1 <= bits[0]:
        raise SliceError("slice.bits", f"bits allocated, bits stored, high bit are {bits}")


def _whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    with classified("slice.header", f"{keyword} is not a number"):
        value = value_of(dataset, keyword)
        if value is not None:
            number = int(value)
            if abs(number) <= LARGEST_NUMBER:  # larger ones could fill pages of a message
                return number
            raise ValueError("beyond any use")
    if default is None:
        raise SliceError("slice.header", f"{keyword} is missing")
    return default


def _text(dataset: Dataset, keyword: str) -> str:
    with classified("slice.header", f"{keyword} cannot be read"):
        return str(value_of(dataset, keyword) or "")


def _instance_number(dataset: Dataset) -> int:
    """The number, or -1: it only decides between slices at one position."""
    try:
        number = _whole(dataset, "InstanceNumber", default=-1)
    except SliceError:
        return -1
    return number if number >= 0 else -1
