"""Real series with several vendors, codecs and defects, compared with what their headers show."""

import ast

import numpy as np
import pandas as pd
import pytest

from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack, orthonormal
from tests.mri.builders import make_image, make_slice_dataset, spoiling, write

GENERIC = ([("sagittal", (4, 256, 256), 1.0)], [])
# folder: the stacks' planes, shapes and steps in mm, and the codes of the faults
EXPECTED = {
    "ge_anatomical": GENERIC,  # signed, 16 bits, numbered from left to right
    "siemens_anatomical": GENERIC,
    "philips_anatomical": ([("coronal", (4, 240, 240), 0.6)], []),  # implicit VR
    "hyperfine_anatomical": ([("axial", (8, 138, 112), 5.0)], []),  # shared and per-frame groups, not square
    "siemens_multiframe": ([("axial", (8, 256, 256), 0.9)], []),  # per-frame groups only
    "philips_enhanced_multiframe": ([("sagittal", (8, 256, 256), 1.2)], []),  # from left to right, slope 4.26
    "generic_implicit": GENERIC,
    "generic_rle": GENERIC,
    "generic_compressed": GENERIC,  # JPEG 2000
    "generic_jpeg": GENERIC,  # lossless: SimpleITK decodes it
    "generic_jpegls": GENERIC,  # SimpleITK, too
    # Made to fail a converter to NIfTI, which wants one regular volume. Two slices are a stack;
    "failing_slicecount": ([("sagittal", (2, 256, 256), 1.0)], []),
    # steps of 5, 5 and 10 mm are a stack with a gap (but it is a CT, whose files say so one by one);
    "failing_sliceincrement": ([], ["slice.modality"] * 4 + ["series.unreadable"]),
    # an axial and a sagittal series in one folder, with the same instance numbers, are two stacks.
    "failing_sliceorientation": ([("axial", (2, 288, 288), 4.4), ("sagittal", (2, 288, 288), 3.3)], []),
}
SAME_PIXELS = ("generic_rle", "generic_compressed", "generic_jpeg", "generic_jpegls")


def test_every_folder_has_an_expected_outcome(real_dir):
    assert {path.name for path in (real_dir / "dicom").iterdir() if path.is_dir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_series_is_read_to_the_right_stacks(real_dir, name):
    expected, codes = EXPECTED[name]
    ledger = Ledger()
    stacks = read_series(real_dir / "dicom" / name, ledger)
    assert [(stack.plane, stack.pixels.shape) for stack in stacks] == [one[:2] for one in expected]
    assert [stack.step_mm for stack in stacks] == pytest.approx([one[2] for one in expected], abs=1e-3)
    assert [fault.code for fault in ledger] == codes
    for stack in stacks:
        assert np.isfinite(stack.pixels).all()
        assert np.ptp(stack.pixels, axis=(1, 2)).min() > 0


def test_four_codecs_of_the_same_images_agree_in_every_bit(real_dir):
    first, *others = (read_series(real_dir / "dicom" / name, Ledger())[0] for name in SAME_PIXELS)
    for other in others:
        np.testing.assert_array_equal(other.pixels, first.pixels)
        assert other.geometry() == first.geometry()


@pytest.mark.parametrize("name", ["ge_anatomical", "philips_anatomical", "failing_sliceorientation"])
def test_another_reader_puts_pixels_in_the_same_place(real_dir, name):
    with spoiling():
        import SimpleITK as sitk
    for stack in read_series(real_dir / "dicom" / name, Ledger()):
        for index, file in enumerate(stack.files):
            image = sitk.ReadImage(str(real_dir / "dicom" / name / file))
            expected = image.TransformIndexToPhysicalPoint((30, 70, 0))
            np.testing.assert_allclose(stack.to_patient(30, 70, index), expected, atol=0.01)
            assert stack.pixels[index, 70, 30] == image.GetPixel((30, 70, 0))


@pytest.fixture
def axial_headers(real_dir):
    return pd.read_csv(next((real_dir / "tables").glob("test_*_axial_headers_*.csv")))


@pytest.fixture
def axial(axial_headers, tmp_path):
    """A stack with the real headers of an axial series, under arbitrary names and numbers."""
    for name, header in enumerate(axial_headers.sample(frac=1, random_state=0).itertuples()):
        dataset = make_slice_dataset(
            make_image(header.instance_number, (header.H, header.W)),
            position=ast.literal_eval(header.ImagePositionPatient),
            orientation=ast.literal_eval(header.ImageOrientationPatient),
            spacing=ast.literal_eval(header.PixelSpacing),
            number=header.instance_number,
        )
        write(tmp_path / f"{name}.dcm", dataset)
    ledger = Ledger()
    (stack,) = read_series(tmp_path, ledger)
    assert len(ledger) == 0
    return stack


@pytest.fixture
def sagittal(real_dir):
    """Stacks at the real positions of the same study's sagittal series, with the normal that these give."""
    table = pd.read_csv(next((real_dir / "tables").glob("test_*_sagittal_positions.csv")))
    stacks = []
    for _, series in table.groupby("series_id"):
        origins = series[["x_pos", "y_pos", "z_pos"]].to_numpy()
        origins = origins[origins[:, 0].argsort()]
        normal = (origins[-1] - origins[0]) / np.linalg.norm(origins[-1] - origins[0])
        row, column = orthonormal(np.array([[0.0, 1.0, 0.0], np.cross([0.0, 1.0, 0.0], normal)]))
        pixels = np.zeros((len(origins), 384, 384), dtype=np.uint8)
        numbers, files = np.full(len(origins), -1), ("",) * len(origins)
        stacks.append(Stack(pixels, origins, row, column, (0.6, 0.6), numbers, files))
    return stacks


def test_a_real_axial_series_runs_from_foot_to_head(axial, axial_headers):
    assert (axial.plane, len(axial)) == ("axial", len(axial_headers))
    assert (np.diff(axial.origins_mm[:, 2]) > 0).all()
    assert axial.step_mm == pytest.approx(axial_headers["SpacingBetweenSlices"].iloc[0], abs=1e-3)
    np.testing.assert_allclose(np.diff(axial.positions_mm), axial.step_mm, atol=1e-3)
    for image, number in zip(axial.pixels, axial.instance_numbers):
        np.testing.assert_array_equal(image, make_image(number, image.shape))


def test_real_axial_centres_lie_in_the_sagittal_stacks_and_come_back(axial, sagittal):
    for stack in sagittal:
        assert stack.plane == "sagittal"
        col, row, index = stack.to_pixel(axial.centres_mm).T
        assert (np.diff(row) < 0).all()  # towards the head is up in a sagittal image
        assert ((index > 0) & (index < len(stack) - 1)).all()  # the spine lies between the outer slices
        np.testing.assert_allclose(stack.to_patient(col, row, index), axial.centres_mm, atol=1e-6)
        back = axial.to_pixel(stack.to_patient(col, row, index))
        np.testing.assert_allclose(back[:, 2], np.arange(len(axial)), atol=1e-6)
        np.testing.assert_allclose(back[:, :2], [[127.5, 127.5]] * len(axial), atol=1e-6)
