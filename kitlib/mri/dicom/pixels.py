"""From encoded bytes to stored values: pydicom's decoders, and SimpleITK where pydicom has none."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import get_decoder
from pydicom.uid import MRImageStorage, generate_uid

from kitlib.errors import SliceError
from kitlib.mri.dicom.encoded import check_encoded
from kitlib.mri.dicom.header import Header, classified


def stored_values(header: Header, encoded: bytes | memoryview, representation: str) -> np.ndarray:
    """The frames' values before rescaling: integers (frames, rows, columns), growing with brightness."""
    check_encoded(header, encoded)
    with classified("slice.pixels", "the pixels do not decode"):
        shape = header.frames, header.rows, header.columns
        values = _decoded(header, encoded, representation).reshape(shape)
        if values.dtype.kind not in "iu":
            raise SliceError("slice.pixels", f"the pixels decode to {values.dtype}")
        values = _used_bits(header, values)
    return _upright(header, values) if header.is_inverted else values


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


def _upright(header: Header, values: np.ndarray) -> np.ndarray:
    """MONOCHROME1 turned round inside the range of the stored bits."""
    if header.is_signed:
        return ~values  # -1 - value
    return values.dtype.type(2**header.bits_stored - 1) - values
