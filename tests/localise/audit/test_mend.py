import numpy as np
import pandas as pd
import pytest

from kitlib.errors import DataError
from kitlib.localise.audit.landmarks import audit, mend, mend_counts
from kitlib.terms import LEVELS, other_side
from tests.localise.landmark_tables import SAGITTAL_T1_ID, Tables, make_tables

CELL = ["condition", "level"]


def mended(tables: Tables, landmarks: pd.DataFrame) -> pd.DataFrame:
    report = audit(tables.labels, landmarks, tables.series, study_of=tables.study_of)
    return mend(landmarks, report)


def test_a_flawless_table_stays_as_it_is() -> None:
    tables = make_tables()
    pd.testing.assert_frame_equal(mended(tables, tables.landmarks), tables.landmarks)


def test_swapped_sides_come_back_whatever_the_index() -> None:
    tables = make_tables()
    swapped = tables.landmarks.set_index(np.arange(25) + 100)
    pair = swapped["condition"].str.contains("subarticular") & (swapped["level"] == "l4_l5")
    swapped.loc[pair, "condition"] = swapped.loc[pair, "condition"].map(other_side)
    pd.testing.assert_frame_equal(mended(tables, swapped), tables.landmarks)


def test_a_series_a_level_off_is_renamed_and_what_lies_beyond_goes() -> None:
    tables = make_tables()
    off = tables.landmarks["series_id"] == SAGITTAL_T1_ID
    above = dict(zip(LEVELS[1:], LEVELS))
    named = tables.landmarks.loc[off, "level"].map(above)
    renamed = tables.landmarks.assign(level=named.reindex(tables.landmarks.index).fillna(
        tables.landmarks["level"])).drop(index=named.index[named.isna()])  # fmt: skip
    pd.testing.assert_frame_equal(
        mended(tables, renamed), tables.landmarks.drop(index=named.index[named.isna()]).reset_index(drop=True)
    )


def test_what_cannot_be_mended_is_dropped_and_what_is_to_be_looked_at_stays() -> None:
    tables = make_tables()
    tables.labels.iloc[0, 4] = -1
    spoilt = pd.concat([tables.landmarks, tables.landmarks.iloc[[0, 8]]], ignore_index=True)
    spoilt.loc[3, "x"] = -9.0
    assert mended(tables, spoilt)[CELL].equals(tables.landmarks[CELL].drop(index=3).reset_index(drop=True))


def test_a_mended_table_has_nothing_more_to_mend() -> None:
    tables = make_tables()
    spoilt = tables.landmarks.assign(condition=tables.landmarks["condition"].map(other_side))
    again = mended(tables, spoilt)
    report = audit(tables.labels, again, tables.series, study_of=tables.study_of)
    assert report.empty


def test_a_report_of_another_table_is_refused() -> None:
    tables = make_tables()
    points = tables.landmarks
    points.loc[20, "x"] = -9.0
    report = audit(tables.labels, points, tables.series)
    for other in (points[::-1], points[:10]):
        with pytest.raises(DataError, match="not of this landmark table"):
            mend(other, report)


def test_what_is_done_to_a_table_is_said_in_words() -> None:
    tables = make_tables()
    spoilt = pd.concat([tables.landmarks, tables.landmarks.iloc[[8]]], ignore_index=True)
    pair = spoilt["condition"].str.contains("subarticular") & (spoilt["level"] == "l4_l5")
    spoilt.loc[pair, "condition"] = spoilt.loc[pair, "condition"].map(other_side)
    report = audit(tables.labels, spoilt, tables.series, study_of=tables.study_of)
    assert mend_counts(spoilt, report) == "1 of 26 points dropped, 2 mended"
