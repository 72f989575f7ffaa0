"""Decode frames to values with pydicom's decoders, or with SimpleITK if pydicom has none."""

import tempfile
from typing import Any

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import get_decoder
from pydicom.uid import MRImageStorage, generate_uid

from kitlib.mri.dicom.header import Header


def decoded_by_pydicom(header: Header, encoded: bytes, representation: str = "OB") -> np.ndarray:
    """Decode the values of a file's PixelData, in any shape."""
    options: dict[str, Any] = {
        "correct_unused_bits": False,  # its correction ignores HighBit: `pixels.py` does it
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
        "pixel_vr": representation,  # 8-bit big-endian pixels are swapped in pairs if OW
    }
    return get_decoder(header.transfer_syntax).as_array(encoded, raw=True, **options)[0]


def decoded_by_itk(header: Header, encoded: bytes) -> np.ndarray:
    """Decode the values of a file's PixelData, through a file without any other data of the patient."""
    import SimpleITK as sitk  # takes a fifth of a second, and few series need it

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
    with tempfile.TemporaryFile() as file:  # unnamed, so it is gone however this process ends
        dcmwrite(file, bare, enforce_file_format=True)
        file.flush()
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        return sitk.GetArrayFromImage(sitk.ReadImage(f"/dev/fd/{file.fileno()}", imageIO="GDCMImageIO"))
