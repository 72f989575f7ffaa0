"""The shipped localiser on patients' images, on none of which it was trained."""

import numpy as np
import pandas as pd
import pytest

from kitlib.errors import ArtefactError
from kitlib.localise.folder import read_folder
from kitlib.localise.localiser import Localiser
from kitlib.localise.train.evaluate import case_errors
from kitlib.mri.ledger import Ledger
from tests.localise.real_cases import VOLUME_DISCS, far_lateral, spider_cases, volume

SPACING_MM = 0.75  # of SPIDER's images, roughly
ON_DISC_MM, OF_DISC_MM = 5.0, 10.0  # typically, and at most: far below half of a disc spacing


@pytest.fixture(scope="module")
def localiser() -> Localiser:
    try:
        return Localiser.shipped()
    except ArtefactError:
        pytest.skip("no weights of the localiser are shipped")


def test_mid_sagittal_slices_of_patients(real_dir, localiser):
    """All 25 levels are correct, with a median error of 3.3 mm.

    It was 2.5 mm with the weights of 2026-11-30, which count worse on single slices (docs/levels.md).

    L5/S1 is 4.5 to 12 mm off: the network puts it higher, and in the middle of a wide sac, where the masks
    can only say how far the bodies' walls are.
    """
    errors = pd.concat([case_errors(localiser, case) for case in spider_cases(real_dir / "spider")])
    graded = errors[errors["level"] != "t12_l1"]
    assert graded["case"].nunique() == 5
    assert graded["level_right"].eq(True).all()
    assert graded["error_mm"].median() <= 3.4


def test_far_lateral_slices_are_abstained_from(real_dir, localiser):
    for image in far_lateral(real_dir / "spider"):
        located = localiser.locate_array(image, SPACING_MM)
        assert located.abstained
        assert not any(point.confidence >= 0.5 for point in located.points)


def test_a_volume_without_sacrum_is_abstained_from_with_a_guess_disc_by_disc(real_dir, localiser):
    """Nothing identifies the levels; four points are 2.6 to 3.8 mm off, one on the lower border 6.3 mm."""
    located = localiser.locate_array(volume(real_dir / "nifti"), 1.0, 1.0)
    assert located.abstained
    canal = [point for point in located.points if point.landmark.place == "canal"]
    assert not any(point.confidence >= 0.5 for point in canal)
    places = np.array([[point.x, point.y] for point in canal])
    away = np.linalg.norm(places[:, None] - np.array(VOLUME_DISCS), axis=2)
    assert len(set(away.argmin(axis=1))) == len(canal) >= 3
    assert away.min(axis=1).max() < OF_DISC_MM
    assert np.median(away.min(axis=1)) < ON_DISC_MM


def test_other_anatomy_is_abstained_from(real_dir, localiser):
    for folder in sorted((real_dir / "dicom").iterdir()):
        if folder.is_dir():
            located = localiser.locate_study(read_folder(folder, Ledger()))
            assert located.abstained, folder.name
            assert not any(point.confidence >= 0.5 for point in located.points), folder.name
