"""Read single images as stacks: PNG, WebP, JPEG, TIFF, NPY or DICOM files."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from kitlib.errors import DataError, KitError
from kitlib.localise.sources import read_array
from kitlib.mri.dicom.header import LIMITS
from kitlib.mri.dicom.slices import read_files

FORMATS = ("PNG", "WEBP", "JPEG", "TIFF")
READ_BY_PIL = (".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff")


def read_image(file: Path) -> np.ndarray:
    """Read the neighbouring slices (S, H, W) of one file as float32. Raises DataError if it has none.

    Three channels that differ are three slices, with the place on the middle one; equal ones are one slice.
    """
    file = Path(file)
    if not file.is_file():
        raise DataError("there is no such image", where=file.name)
    if file.stat().st_size > LIMITS.file_mb * 1e6:
        raise DataError(f"the image is larger than {LIMITS.file_mb} MB", where=file.name)
    kind = file.suffix.lower()
    pixels = (
        _of_picture(file) if kind in READ_BY_PIL else read_array(file) if kind == ".npy" else _of_dicom(file)
    )
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.ndim != 3 or pixels.dtype.kind not in "uif" or not pixels.size:
        raise DataError(f"{pixels.dtype} of shape {pixels.shape} is no grey image", where=file.name)
    if max(pixels.shape[1:]) > LIMITS.side_px or pixels.size > LIMITS.file_values:
        raise DataError(f"an image of shape {pixels.shape} is too large", where=file.name)
    return pixels.astype(np.float32)


def _of_picture(file: Path) -> np.ndarray:
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(file, formats=FORMATS) as image,
        ):
            if max(image.size) > LIMITS.side_px:  # known before anything is unpacked
                raise DataError(f"an image of {image.size} pixels is too large", where=file.name)
            if (count := getattr(image, "n_frames", 1)) > 1:
                raise DataError(f"the file holds {count} images", where=file.name)
            pixels = np.asarray(image.convert("RGB") if image.mode == "P" else image)
    except KitError:
        raise
    except Exception as error:  # readers raise all kinds of errors on corrupt files
        raise DataError(f"the image cannot be read: {type(error).__name__}", where=file.name) from error
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] in (2, 4) and (pixels[..., -1] == 255).all():  # opaque everywhere
        pixels = pixels[..., :-1]
    if pixels.shape[2] not in (1, 3):
        raise DataError(f"{pixels.shape[2]} channels are neither one slice nor three", where=file.name)
    is_grey = (pixels == pixels[..., :1]).all()
    return pixels[..., 0] if is_grey else np.moveaxis(pixels, -1, 0)


def _of_dicom(file: Path) -> np.ndarray:
    ((slices, faults),) = read_files([file])
    if len(slices) != 1:
        reason = faults[0].code if faults else f"{len(slices)} frames"
        raise DataError(f"no single image can be read: {reason}", where=file.name)
    pixels = np.empty(slices[0].stored.shape, np.float32)
    slices[0].rescale_into(pixels)
    return pixels
