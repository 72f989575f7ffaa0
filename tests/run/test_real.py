"""A real volume, resliced into a study in the competition's layout, gives a valid submission."""

from pathlib import Path

import numpy as np
import SimpleITK

from kitlib.competition.submission import validate_submission
from kitlib.predict.stream import Handling
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, row_ids
from tests.mri.builders import AXIAL, SAGITTAL, make_slice_dataset, write
from tests.run.finished import predict_data, write_tables

STUDY, SAGITTAL_SERIES, AXIAL_SERIES = 51, 511, 512
STEP_VOXELS = 4  # in 1 mm steps, at a typical slice spacing


def slice_volume(path: Path, study: Path) -> None:
    """Write a volume, with axes to the patient's right, front and head, as two series."""
    volume = SimpleITK.ReadImage(str(path))
    voxels = np.clip(SimpleITK.GetArrayFromImage(volume), 0, None).astype(np.uint16)  # (z, y, x)
    depth, height, width = voxels.shape
    for number, x in enumerate(range(0, width, STEP_VOXELS), start=1):
        corner = volume.TransformIndexToPhysicalPoint((x, height - 1, depth - 1))
        write_slice(study / str(SAGITTAL_SERIES), voxels[::-1, ::-1, x], corner, SAGITTAL, number)
    for number, z in enumerate(range(0, depth, STEP_VOXELS), start=1):
        corner = volume.TransformIndexToPhysicalPoint((width - 1, height - 1, z))
        write_slice(study / str(AXIAL_SERIES), voxels[z, ::-1, ::-1], corner, AXIAL, number)


def write_slice(folder, image, corner, orientation, number):
    dataset = make_slice_dataset(
        np.ascontiguousarray(image),
        position=corner,
        orientation=orientation,
        spacing=(1.0, 1.0),
        number=number,
    )
    write(folder / f"{number}.dcm", dataset)


def test_a_real_volume_becomes_rows_with_the_missing_sequence_in_the_ledger(
    real_dir, work, predictor, tmp_path
):
    data = tmp_path / "data"
    slice_volume(real_dir / "nifti" / "t2_lumbar.nii.gz", data / "test_images" / str(STUDY))
    write_tables(data, "test", [(STUDY, SAGITTAL_SERIES, SAGITTAL_T2), (STUDY, AXIAL_SERIES, AXIAL_T2)])

    result = predict_data(data, work, tmp_path / "submission.csv", Handling(strict=True))

    validate_submission(tmp_path / "submission.csv", [STUDY])
    assert set(result.predictions["rung"]) == {"fewer views"}
    (fault,) = result.ledger
    assert (fault.code, fault.detail) == ("study.sequence", f"no {SAGITTAL_T1}")
    assert set(fault.row_ids) == {row for row in row_ids(STUDY) if "foraminal" in row}
    prior = predictor.prior.predict([STUDY])
    assert not np.allclose(result.predictions[prior.columns], prior)
