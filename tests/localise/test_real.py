"""The shipped localiser on patients' images, none of which it has seen."""

import numpy as np
import pandas as pd
import pytest

from kitlib.errors import ArtefactError
from kitlib.localise.evaluate import case_errors
from kitlib.localise.localiser import Localiser
from kitlib.localise.sources import read_folder
from kitlib.mri.ledger import Ledger
from tests.localise.real_cases import VOLUME_DISCS, far_lateral, spider_cases, volume

SPACING_MM = 0.75  # of SPIDER's images, roughly
ON_DISC_MM = 5.0


@pytest.fixture(scope="module")
def localiser() -> Localiser:
    try:
        return Localiser.shipped()
    except ArtefactError:
        pytest.skip("no weights of the localiser are shipped")


def test_mid_sagittal_slices_of_patients(real_dir, localiser):
    errors = pd.concat([case_errors(localiser, case) for case in spider_cases(real_dir / "spider")])
    graded = errors[errors["level"] != "t12_l1"]
    assert graded["case"].nunique() == 5
    assert graded["level_right"].eq(True).all()
    assert graded["error_mm"].median() <= 2.5


def test_far_lateral_slices_are_abstained_from(real_dir, localiser):
    for image in far_lateral(real_dir / "spider"):
        located = localiser.locate_array(image, SPACING_MM)
        assert located.abstained
        assert not any(point.confidence >= 0.5 for point in located.points)


def test_a_volume_without_sacrum_is_abstained_from_or_found_disc_by_disc(real_dir, localiser):
    located = localiser.locate_array(volume(real_dir / "nifti"), 1.0, 1.0)
    canal = [point for point in located.points if point.landmark.landmark == "canal"]
    assert located.abstained or len(canal) >= 3
    for point in canal:
        away = np.linalg.norm(np.array(VOLUME_DISCS) - [point.x, point.y], axis=1)
        assert away.min() < ON_DISC_MM


def test_other_anatomy_is_abstained_from(real_dir, localiser):
    for folder in sorted((real_dir / "dicom").iterdir()):
        if folder.is_dir():
            located = localiser.locate_study(read_folder(folder, Ledger()))
            assert located.abstained, folder.name
            assert not any(point.confidence >= 0.5 for point in located.points), folder.name
