"""The audit of a folder, from its tables and stacks, with the localiser used only where necessary."""

import numpy as np
import pandas as pd
import pytest

from kitlib.competition.root import Competition, find_root
from kitlib.localise.audit import folder as audit_folder
from kitlib.localise.audit.findings import condition2place
from kitlib.localise.audit.folder import audit_competition
from kitlib.localise.audit.landmarks import audit
from kitlib.mri.ledger import Ledger
from kitlib.mri.reading import read_study
from kitlib.phantom.archive import write_competition
from kitlib.phantom.truth import read_truth
from tests.localise.landmark_defects import shift_both_levels


@pytest.fixture(scope="module")
def competition(tmp_path_factory) -> Competition:
    out = tmp_path_factory.mktemp("audit") / "set"
    return find_root(write_competition(out, studies=1, seed=4, size="smoke", missing_rate=0))


@pytest.fixture
def spoilt(competition: Competition, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The folder with both sagittal series one level off in the same direction."""
    shifted, _ = shift_both_levels(competition.landmarks(), np.random.default_rng(0), 1.0)
    monkeypatch.setattr(Competition, "landmarks", lambda _: shifted)
    return shifted


def true_canal(competition: Competition) -> dict[str, np.ndarray]:
    (study_id,) = competition.landmarks()["study_id"].unique()
    marks = read_truth(competition.root, int(study_id))["landmarks"]
    canal = (one for one in marks if condition2place[one["condition"]] == "canal")
    return {one["level"]: np.array([one["x_mm"], one["y_mm"], one["z_mm"]]) for one in canal}


def places_off(findings: pd.DataFrame) -> set[str]:
    off = findings[findings["code"] == "level.off_by_one"]
    return set(off["condition"].map(condition2place))


def test_a_folder_is_audited_as_its_tables_and_stacks_are(competition: Competition) -> None:
    series = competition.series("train")
    spoilt = competition.landmarks()
    expected = audit(
        competition.train_labels(),
        spoilt,
        series,
        study_of=lambda study_id: read_study(study_id, series, Ledger()),
    )
    found = audit_competition(competition, localiser=False)
    pd.testing.assert_frame_equal(found.findings, expected)
    assert (found.asked, str(found)) == (0, "the localiser was not used")


def test_series_that_agree_leave_nothing_to_ask(
    competition: Competition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_folder, "count_levels", pytest.fail)
    assert audit_competition(competition).asked == 0


@pytest.mark.slow
@pytest.mark.usefixtures("spoilt")
def test_the_localiser_tells_that_both_sagittal_series_are_off(
    competition: Competition, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not places_off(audit_competition(competition, localiser=False).findings) & {"canal", "foramen"}
    canal = true_canal(competition)
    monkeypatch.setattr(audit_folder, "count_levels", lambda _: canal)
    found = audit_competition(competition)
    assert places_off(found.findings) == {"canal", "foramen"}
    assert "run on 1 studies and confident of its count in 1" in str(found)


@pytest.mark.usefixtures("spoilt")
def test_a_localiser_that_is_not_sure_changes_nothing(
    competition: Competition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_folder, "count_levels", lambda _: {})
    found = audit_competition(competition)
    assert (found.asked, found.counted) == (1, 0)
    without = audit_competition(competition, localiser=False)
    pd.testing.assert_frame_equal(found.findings, without.findings)
