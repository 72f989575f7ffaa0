"""Files that are empty, truncated, padded, missing, or not DICOM."""

import gzip
import os

import numpy as np
from pydicom import dcmread

from kitlib.faults.registry import damage
from kitlib.faults.subject import Subject
from kitlib.terms import AXIAL_T2, SAGITTAL_T2

PREAMBLE_BYTES = 132
HUGE_BYTES = 2 * 2**30
PAGE = b"<!DOCTYPE html><html><body>Sign in to download this file.</body></html>"


@damage()
def file_empty(study: Subject) -> None:
    """Some files are empty."""
    for path in study.some():
        study.write(path, b"")


@damage()
def file_cut_in_header(study: Subject) -> None:
    """A file is truncated within its header."""
    path = study.one()
    study.write(path, path.read_bytes()[:600])


@damage()
def file_cut_in_pixels(study: Subject) -> None:
    """Some files are truncated within their pixel data."""
    for path in study.some():
        content = path.read_bytes()
        study.write(path, content[: -len(content) // 3])


@damage(harmless=True)
def file_padded(study: Subject) -> None:
    """Some files are padded with zeros at the end."""
    for path in study.some():
        study.write(path, path.read_bytes() + bytes(512))


@damage()
def file_of_noise(study: Subject) -> None:
    """A file consists of random bytes."""
    study.write(study.one(), study.lots.randbytes(5000))


@damage()
def file_is_a_page(study: Subject) -> None:
    """The files of a series are the HTML of a sign-in page."""
    for path in study.files():
        study.write(path, PAGE)


@damage(harmless=True)
def file_without_preamble(study: Subject) -> None:
    """Some files lack the preamble and begin with their first tag."""
    for path in study.some():
        study.write(path, path.read_bytes()[PREAMBLE_BYTES:])


@damage(harmless=True)
def file_of_another_name(study: Subject) -> None:
    """Files have archive names such as IM000001, without an extension."""
    for number, path in enumerate(study.files()):
        path.rename(path.with_name(f"IM{number:06d}"))


@damage()
def pipe_in_place_of_file(study: Subject) -> None:
    """A file is replaced by a named pipe that never delivers any data."""
    path = study.one()
    path.unlink()
    os.mkfifo(path)


@damage(harmless=True)
def file_copied(study: Subject) -> None:
    """Some files occur twice in the folder of a series."""
    for path in study.some():
        os.link(path, path.with_name(f"9{path.name}"))


@damage()
def one_slice_left(study: Subject) -> None:
    """All slices of a series but one are missing."""
    for path in study.files()[1:]:
        path.unlink()


@damage()
def slices_missing(study: Subject) -> None:
    """A contiguous third of a series' slices is missing."""
    files = study.files()
    for path in files[len(files) // 3 : 2 * len(files) // 3]:
        path.unlink()


@damage()
def file_packed(study: Subject) -> None:
    """Some files are gzip-compressed under their old names."""
    for path in study.some():
        study.write(path, gzip.compress(path.read_bytes()))


@damage()
def file_of_two_gigabytes(study: Subject) -> None:
    """A file is extended with zeros to two gigabytes."""
    path = study.one()
    study.write(path, path.read_bytes())
    os.truncate(path, HUGE_BYTES)


@damage()
def lower_half_lost(study: Subject) -> None:
    """The lower half of the axial slices is missing."""
    files = study.files(AXIAL_T2)
    places = {path: dcmread(path, stop_before_pixels=True).ImagePositionPatient[2] for path in files}
    for path in sorted(files, key=places.__getitem__)[: len(files) // 2]:
        path.unlink()


@damage()
def every_second_slice_lost(study: Subject) -> None:
    """Every second slice of T2 is missing, and headers give the original spacing between slices."""
    files = study.files(SAGITTAL_T2)
    first, second = (np.array(dcmread(path).ImagePositionPatient, float) for path in files[:2])
    study.edit(files, SpacingBetweenSlices=f"{np.linalg.norm(second - first):.6f}")
    for path in files[1::2]:
        path.unlink()
