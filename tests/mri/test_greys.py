"""Slices stored differently from the others of their stack: kept if their grey values agree."""

import numpy as np
import pytest
from pydicom import dcmread

from kitlib.mri.greys import FARTHEST
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from tests.mri.builders import FIRST_MM, make_series, make_slice_dataset, write

SIZE = (48, 48)


def image_of(number: int) -> np.ndarray:
    """A dark background and tissue, slightly brighter from slice to slice."""
    random = np.random.default_rng(number)
    image = random.gamma(2, 20, SIZE)
    image[8:40, 12:36] = random.normal(500 + 5 * number, 120, (32, 24)).clip(0)
    return image.astype(np.uint16)


def write_series(folder, count, number2options):
    for number in range(1, count + 1):
        options = {"image": image_of(number)} | number2options.get(number, {})
        position = np.add(FIRST_MM, (4 * number, 0, 0))
        write(folder / f"{number}.dcm", make_slice_dataset(position=position, number=number, **options))


def read(folder):
    ledger = Ledger()
    stacks = read_series(folder, ledger)
    odd = [fault for fault in ledger if fault.code in ("slice.greys", "stack.greys")]
    return stacks, [(fault.code, fault.action, fault.file) for fault in odd]


WRONG = {
    "slope": {"RescaleSlope": 2, "RescaleIntercept": 0},
    "slight slope": {"RescaleSlope": 0.5, "RescaleIntercept": 0},
    "negative slope": {"RescaleSlope": -1, "RescaleIntercept": 0},
    "intercept": {"RescaleIntercept": 300},
    "inversion": {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11},
    "sign": {"BitsStored": 10, "HighBit": 9, "PixelRepresentation": 1},
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("number", [1, 5, 9])
def test_a_slice_whose_greys_its_header_spoils_is_left_out(tmp_path, wrong, number):
    write_series(tmp_path, 9, {number: WRONG[wrong]})
    (stack,), faults = read(tmp_path)
    assert faults == [("slice.greys", "slice dropped", f"{number}.dcm")]
    assert sorted(stack.instance_numbers) == sorted({*range(1, 10)} - {number})


RIGHT = {
    "scaled": {"image": image_of(5) * 4, "RescaleSlope": 0.25, "RescaleIntercept": 0},
    "lifted": {"image": image_of(5) + 1000, "RescaleIntercept": -1000, "RescaleSlope": 1},
    "inverted": {"image": 65535 - image_of(5), "PhotometricInterpretation": "MONOCHROME1"},
    "signed": {"image": image_of(5).astype(np.int16)},
    "narrow": {"BitsStored": 12, "HighBit": 11},
}


@pytest.mark.parametrize("right", RIGHT)
def test_a_slice_that_is_stored_otherwise_and_yet_alike_is_kept(tmp_path, right):
    write_series(tmp_path / "plain", 9, {})
    write_series(tmp_path / "other", 9, {5: RIGHT[right]})
    (ours,), faults = read(tmp_path / "other")
    (theirs,), _ = read(tmp_path / "plain")
    assert faults == []
    np.testing.assert_allclose(ours.pixels, theirs.pixels)


def test_slices_that_are_all_scaled_by_themselves_agree_but_the_wrong_one(tmp_path):
    options = {
        number: {"image": image_of(number) * number, "RescaleSlope": 1 / number, "RescaleIntercept": 0}
        for number in range(1, 10)
    }
    write_series(tmp_path / "right", 9, options)
    assert read(tmp_path / "right")[1] == []
    write_series(tmp_path / "wrong", 9, options | {4: options[4] | {"RescaleSlope": 1}})
    assert read(tmp_path / "wrong")[1] == [("slice.greys", "slice dropped", "4.dcm")]


def test_where_nobody_knows_which_is_right_all_are_kept_and_told(tmp_path):
    write_series(tmp_path, 2, {2: WRONG["slope"]})
    (stack,), faults = read(tmp_path)
    assert len(stack) == 2
    assert [fault[:2] for fault in faults] == [("stack.greys", "slice kept")] * 2


def test_slices_stored_alike_are_not_judged(tmp_path):
    write_series(tmp_path, 9, {4: {"image": image_of(4) * 9}})
    assert read(tmp_path)[1] == []


def test_real_series_would_pass_if_every_slice_were_suspected(real_dir, tmp_path):
    """No slice of these deviates from its neighbours by more than three quarters of the reported limit."""
    for name in ("ge_anatomical", "siemens_anatomical", "philips_anatomical"):
        source = real_dir / "dicom" / name
        for number, path in enumerate(sorted(path for path in source.iterdir() if path.is_file())):
            dataset = dcmread(path)
            dataset.RescaleSlope, dataset.RescaleIntercept = 1, 1e-3 * number
            write(tmp_path / name / path.name, dataset)
        assert read(tmp_path / name)[1] == []
    assert FARTHEST < 0.2


def test_phantoms_are_as_they_were(tmp_path):
    _, faults = read(make_series(tmp_path, count=9, RescaleSlope=2, RescaleIntercept=-3))
    assert faults == []
