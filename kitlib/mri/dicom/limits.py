"""What a DICOM file may be: checked before its pixels are touched, for files come from strangers."""

from dataclasses import dataclass

from pydicom import uid


@dataclass(frozen=True)
class Limits:
    """The largest file, image and series that are read: several times what a lumbar study needs."""

    file_mb: float = 256
    side_px: int = 4096
    frames: int = 4096
    file_values: int = 2**26  # rows x columns x frames of one file
    series_values: int = 2**28  # of all files of a series: 1 GB as float32


LIMITS = Limits()

TRANSFER_SYNTAXES = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.RLELossless,
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEGLSNearLossless,
        uid.JPEG2000Lossless,
        uid.JPEG2000,
    }
)
"""Still images only, and no Deflated: half a megabyte of it can unpack to half a gigabyte unasked."""

BITS_ALLOCATED = (8, 16, 32)
