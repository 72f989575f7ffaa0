"""Whether encoded pixels are of the size that the header says: asked before a decoder allocates anything.

A kilobyte of JPEG 2000 can hold an image of a billion pixels, whatever the DICOM header beside it says.
"""

from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000TransferSyntaxes, RLELossless

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import Header, classified

# Start of frame of baseline to lossless JPEG (ITU T.81, B.1.1.3; C4, C8 and CC are no frames) and of JPEG-LS.
JPEG_STARTS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
JPEG2000_START = b"\xff\x4f\xff\x51"  # SOC, then SIZ (ISO 15444-1, A.5.1)
LARGEST_GROWTH = 2  # a codec may enlarge noise a little, never this much
SLACK_BYTES = 2**16


def check_encoded(header: Header, encoded: bytes | memoryview) -> None:
    """Refuse pixels of another size than the header's, as far as they tell before they are decoded."""
    row_bytes = header.columns * header.bits_allocated // 8
    native_bytes = header.frames * header.rows * row_bytes
    if not header.transfer_syntax.is_compressed:
        if not native_bytes <= len(encoded) < native_bytes + max(row_bytes, 2):  # less than a row is padding
            raise SliceError("slice.pixels", f"{len(encoded)} bytes of pixels, not {native_bytes}")
        return
    if len(encoded) > LARGEST_GROWTH * native_bytes + SLACK_BYTES:
        raise SliceError("slice.too_large", f"{len(encoded)} compressed bytes for {native_bytes}")
    if header.transfer_syntax != RLELossless:
        _check_codestreams(header, encoded)


def _check_codestreams(header: Header, encoded: bytes | memoryview) -> None:
    with classified("slice.pixels", "the compressed frames do not parse"):
        is_jpeg2000 = header.transfer_syntax in JPEG2000TransferSyntaxes
        for frame in generate_frames(bytes(encoded), number_of_frames=header.frames):
            size = jpeg2000_size(frame) if is_jpeg2000 else jpeg_size(frame)
            if size != (header.rows, header.columns):
                raise SliceError("slice.pixels", f"the codestream holds an image of {size}")


def jpeg_size(frame: bytes) -> tuple[int, int]:
    """(rows, columns) of the first frame header of a JPEG or JPEG-LS stream; ValueError without one."""
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        if frame[place + 1] in JPEG_STARTS:
            return _number(frame, place + 5, 2), _number(frame, place + 7, 2)
        # 0xFF before a marker is a fill byte.
        place += 1 if frame[place + 1] == 0xFF else 2 + _number(frame, place + 2, 2)
    raise ValueError("no start of frame")


def jpeg2000_size(frame: bytes) -> tuple[int, int]:
    """(rows, columns) that the SIZ segment of a JPEG 2000 stream gives; ValueError without one."""
    place = frame.index(JPEG2000_START) + 8
    width, height, left, top = (_number(frame, place + 4 * index, 4) for index in range(4))
    return height - top, width - left


def _number(frame: bytes, place: int, count: int) -> int:
    return int.from_bytes(frame[place : place + count], "big")
