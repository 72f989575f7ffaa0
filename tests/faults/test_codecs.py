"""A slice reads the same in every lossless transfer syntax."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmwrite

from kitlib.faults.codecs import CODECS, unbound
from tests.mri.builders import make_slice_dataset, read_file
from tests.mri.dicom.fuzz import smooth_image


@pytest.mark.parametrize("name", CODECS)
def test_a_slice_reads_the_same(tmp_path: Path, name: str) -> None:
    dataset = unbound(make_slice_dataset(smooth_image()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CODECS[name](dataset)
        dcmwrite(tmp_path / "1.dcm", dataset, enforce_file_format=True)
    (found,), faults = read_file(tmp_path / "1.dcm")
    assert faults == []
    if name == "JPEG baseline":
        assert np.corrcoef(found.stored.ravel(), smooth_image().ravel())[0, 1] > 0.99
    else:
        np.testing.assert_array_equal(found.stored, smooth_image())


def test_each_is_a_transfer_syntax_of_its_own() -> None:
    syntaxes = set()
    for encode in CODECS.values():
        dataset = unbound(make_slice_dataset(smooth_image()))
        encode(dataset)
        syntaxes.add(dataset.file_meta.TransferSyntaxUID)
    assert len(syntaxes) == len(CODECS)
