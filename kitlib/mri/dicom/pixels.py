"""From encoded bytes to stored values: pydicom's decoders, and SimpleITK where pydicom has none.

Encoded pixels are asked for their size before a decoder allocates anything: a kilobyte of JPEG 2000 can hold
an image of a billion pixels, whatever the DICOM header beside it says.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000TransferSyntaxes, MRImageStorage, RLELossless, generate_uid

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import Header, classified

# Start of frame of baseline to lossless JPEG (ITU T.81, B.1.1.3; C4, C8 and CC are no frames) and of JPEG-LS.
JPEG_STARTS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
JPEG2000_START = b"\xff\x4f\xff\x51"  # SOC, then SIZ (ISO 15444-1, A.5.1)
LARGEST_GROWTH = 2  # a codec may enlarge noise a little, never this much
SLACK_BYTES = 2**16


def stored_values(header: Header, encoded: bytes | memoryview, representation: str) -> np.ndarray:
    """The frames' values before rescaling: integers (frames, rows, columns), growing with brightness."""
    _check_size(header, encoded)
    with classified("slice.pixels", "the pixels do not decode"):
        shape = header.frames, header.rows, header.columns
        values = _decoded(header, encoded, representation).reshape(shape)
        if values.dtype.kind not in "iu":
            raise SliceError("slice.pixels", f"the pixels decode to {values.dtype}")
        values = _used_bits(header, values)
    if not header.is_inverted:
        return values
    # MONOCHROME1 is turned round inside the range of the stored bits; ~value is -1 - value.
    return ~values if header.is_signed else values.dtype.type(2**header.bits_stored - 1) - values


def _decoded(header: Header, encoded: bytes | memoryview, representation: str) -> np.ndarray:
    if isinstance(encoded, memoryview):  # little-endian and as they are
        return np.frombuffer(encoded, _stored_type(header), header.frames * header.rows * header.columns)
    decoder = get_decoder(header.transfer_syntax)
    if not decoder.is_available:
        return _decoded_by_itk(header, encoded)
    try:
        return _decoded_by_pydicom(header, encoded, representation)
    except RuntimeError:
        # Raised where every plugin of pydicom gave up, as Pillow does on 12-bit JPEG.
        if decoder.is_native:
            raise
        return _decoded_by_itk(header, encoded)


def _decoded_by_pydicom(header: Header, encoded: bytes, representation: str) -> np.ndarray:
    options: dict[str, Any] = {
        "correct_unused_bits": False,  # its correction overlooks HighBit: `_used_bits` does it
        "allow_excess_frames": False,
        "number_of_frames": header.frames,
        "rows": header.rows,
        "columns": header.columns,
        "samples_per_pixel": 1,
        "bits_allocated": header.bits_allocated,
        "bits_stored": header.bits_stored,
        "pixel_representation": int(header.is_signed),
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
        "pixel_vr": representation,  # of 8-bit big-endian pixels OW ones are swapped in pairs
    }
    return get_decoder(header.transfer_syntax).as_array(encoded, raw=True, **options)[0]


def _decoded_by_itk(header: Header, encoded: bytes) -> np.ndarray:
    """Decode through a file that holds the pixels and nothing else of the patient's."""
    import SimpleITK as sitk  # a fifth of a second, and few series need it

    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = header.transfer_syntax
    bare.SOPClassUID, bare.SOPInstanceUID = MRImageStorage, generate_uid()
    bare.NumberOfFrames, bare.Rows, bare.Columns = header.frames, header.rows, header.columns
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.BitsAllocated, bare.BitsStored = header.bits_allocated, header.bits_stored
    bare.HighBit, bare.PixelRepresentation = header.bits_stored - 1, int(header.is_signed)
    bare.PixelData = encoded
    bare["PixelData"].is_undefined_length = True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bare.dcm"
        dcmwrite(path, bare, enforce_file_format=True)
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))


def _used_bits(header: Header, values: np.ndarray) -> np.ndarray:
    """Keep the stored bits only: others may hold an overlay, and the sign is the highest stored one."""
    high_bit = header.bits_stored - 1 if header.transfer_syntax.is_compressed else header.high_bit
    above = header.bits_allocated - 1 - high_bit
    unused = header.bits_allocated - header.bits_stored
    values = values.astype(_stored_type(header), copy=False)
    if unused == 0 or (above == unused and _fit(header, values)):
        return values
    return values << above >> unused


def _stored_type(header: Header) -> np.dtype:
    return np.dtype(f"<{'i' if header.is_signed else 'u'}{header.bits_allocated // 8}")


def _fit(header: Header, values: np.ndarray) -> bool:
    """Whether values lie in the range of the stored bits, so that the others hold nothing else."""
    lowest = -(2 ** (header.bits_stored - 1)) if header.is_signed else 0
    return bool(values.min() >= lowest and values.max() < lowest + 2**header.bits_stored)


def _check_size(header: Header, encoded: bytes | memoryview) -> None:
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
            size = _jpeg2000_size(frame) if is_jpeg2000 else _jpeg_size(frame)
            if size != (header.rows, header.columns):
                raise SliceError("slice.pixels", f"the codestream holds an image of {size}")


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    """(rows, columns) of the first frame header of a JPEG or JPEG-LS stream; ValueError without one."""
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        if frame[place + 1] in JPEG_STARTS:
            return _number(frame, place + 5, 2), _number(frame, place + 7, 2)
        # 0xFF before a marker is a fill byte.
        place += 1 if frame[place + 1] == 0xFF else 2 + _number(frame, place + 2, 2)
    raise ValueError("no start of frame")


def _jpeg2000_size(frame: bytes) -> tuple[int, int]:
    """(rows, columns) that the SIZ segment of a JPEG 2000 stream gives; ValueError without one."""
    place = frame.index(JPEG2000_START) + 8
    width, height, left, top = (_number(frame, place + 4 * index, 4) for index in range(4))
    return height - top, width - left


def _number(frame: bytes, place: int, count: int) -> int:
    return int.from_bytes(frame[place : place + count], "big")
