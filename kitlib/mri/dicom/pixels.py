"""Decode bytes to stored values: uncompressed pixels here, compressed ones in another process."""

import numpy as np
from pydicom.uid import RLELossless

from kitlib.errors import SliceError
from kitlib.mri.dicom.codecs import decoded_by_pydicom
from kitlib.mri.dicom.decoder import decoded
from kitlib.mri.dicom.header import Header, classified
from kitlib.mri.dicom.rle import decoded_rle
from kitlib.mri.dicom.streams import checked_streams

Doubt = tuple[str, str]
"""The code and detail of a fault in pixels that is no reason to drop them."""


def stored_values(
    header: Header, encoded: bytes | memoryview, representation: str
) -> tuple[np.ndarray, list[Doubt]]:
    """Decode the values before rescaling: integers (frames, rows, columns) that grow with brightness."""
    values, doubts = _decoded(header, encoded, representation)
    with classified("slice.pixels", "the pixels do not decode"):
        values = values.reshape(header.frames, header.rows, header.columns)
        values, is_cut = _used_bits(header, values)
    if is_cut:
        detail = f"there is something beside the {header.bits_stored} bits of a pixel, which is left out"
        doubts.append(("slice.unused_bits", detail))
    if not header.is_inverted:
        return values, doubts
    # MONOCHROME1 is inverted within the range of the stored bits; ~value is -1 - value.
    return ~values if header.is_signed else values.dtype.type(2**header.bits_stored - 1) - values, doubts


def _decoded(
    header: Header, encoded: bytes | memoryview, representation: str
) -> tuple[np.ndarray, list[Doubt]]:
    if header.transfer_syntax.is_compressed:
        streams = checked_streams(header, bytes(encoded))
        doubts = [("slice.stream", doubt) for doubt in sorted(streams.doubts)]
        if header.transfer_syntax != RLELossless:
            return decoded(header, streams), doubts
        values, is_longer = decoded_rle(header, streams.frames)
        if is_longer:
            doubts.append(("slice.stream", "the stream holds more than the image"))
        return values, doubts
    _check_size(header, encoded)
    with classified("slice.pixels", "the pixels do not decode"):
        if isinstance(encoded, memoryview):  # plain little-endian
            count = header.frames * header.rows * header.columns
            return np.frombuffer(encoded, _stored_type(header), count), []
        return decoded_by_pydicom(header, encoded, representation), []


def _used_bits(header: Header, values: np.ndarray) -> tuple[np.ndarray, bool]:
    """The stored bits, the highest being the sign, and whether other bits are used (as by an overlay)."""
    high_bit = header.bits_stored - 1 if header.transfer_syntax.is_compressed else header.high_bit
    above = header.bits_allocated - 1 - high_bit
    unused = header.bits_allocated - header.bits_stored
    values = values.astype(_stored_type(header), copy=False)
    if unused == 0:
        return values, False
    lowest, span = -(2 ** (header.bits_stored - 1)) if header.is_signed else 0, 2**header.bits_stored
    darkest, brightest = values.min(), values.max()
    if above == unused and darkest >= lowest and brightest < lowest + span:
        return values, False
    # Some writers leave the bits above the sign of signed values empty.
    return values << above >> unused, bool(above != unused or darkest < lowest or brightest >= span)


def _stored_type(header: Header) -> np.dtype:
    return np.dtype(f"<{'i' if header.is_signed else 'u'}{header.bits_allocated // 8}")


def _check_size(header: Header, encoded: bytes | memoryview) -> None:
    """Refuse uncompressed pixels of the wrong size; zero padding, or less than a row of any, is allowed."""
    row_bytes = header.columns * header.bits_allocated // 8
    native_bytes = header.frames * header.rows * row_bytes
    surplus = np.frombuffer(encoded, np.uint8)[native_bytes:]
    if len(encoded) < native_bytes or (len(surplus) >= max(row_bytes, 2) and surplus.any()):
        raise SliceError("slice.pixels", f"{len(encoded)} bytes of pixels, not {native_bytes}")
