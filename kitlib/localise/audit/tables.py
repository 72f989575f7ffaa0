"""Audit landmarks by the tables alone: counterparts, sequences, sides and order in pixels."""

import numpy as np
import pandas as pd

from kitlib.localise.audit.findings import condition2sequence, found
from kitlib.terms import CELLS, EMPTY, other_side

MISPLACED = 0.65  # gaps between levels; L5/S1 of real spines lies up to half a gap from the others' line
TELLING_LEVELS = 4  # with fewer, one misplaced point bends the line itself
TELLING_PAIRS = 3
# Sagittal series of a study mostly share their field of view. Foramina then lie this many gaps above the
# canal points; if they are off by more than half a gap, the names differ (real tables: median -.23, 96 %
# within .4).
FORAMEN_ABOVE = 0.23
APART = 0.5
SAME_VIEW = 0.07  # difference of their scales
CELL = ["study_id", "condition", "level"]


def unmatched(points: pd.DataFrame, labels: pd.DataFrame, series: pd.DataFrame) -> list[pd.DataFrame]:
    """Labels without a point, and points without a label."""
    rows, columns = np.nonzero(labels[[cell.name for cell in CELLS]].to_numpy() != EMPTY)
    cells = pd.DataFrame([CELLS[column] for column in columns], columns=CELL[1:])
    cells = cells.assign(study_id=labels.index[rows])
    labelled, pointed = pd.MultiIndex.from_frame(cells[CELL]), pd.MultiIndex.from_frame(points[CELL])
    bare = points[~pointed.isin(labelled)]
    lost = _with_only_series(cells[~labelled.isin(pointed)], series)
    detail = "no point on " + lost["sequence"]
    detail = detail.where(lost["count"] > 0, "the study has no series of the sequence")
    return [
        found(lost, "point.missing", detail, "look"),
        found(bare, "label.missing", "the cell is empty in the table of labels", "look"),
    ]


def unfit(points: pd.DataFrame) -> list[pd.DataFrame]:
    """Points that no other check can use: duplicated, on another sequence, or outside the image."""
    unknown = points["sequence"].isna()
    wrong = ~unknown & (points["sequence"] != points["condition"].map(condition2sequence))
    # The image extends half a pixel beyond the outermost centres; unknown sizes are not checked.
    beside = (points[["x", "y"]] < -0.5).any(axis=1)
    beside |= (points["x"] > points["width"] - 0.5) | (points["y"] > points["height"] - 0.5)
    fit = points[~unknown & ~wrong & ~beside]
    again = points["row"].isin(fit.loc[fit.duplicated(CELL), "row"])
    place = points["x"].map("x {:.1f}".format) + points["y"].map(", y {:.1f}".format)
    return [
        found(points[unknown], "series.unknown", "no description of this series", "drop"),
        found(points[wrong], "sequence.wrong", "lies on " + points.loc[wrong, "sequence"], "drop"),
        found(points[beside], "image.outside", place[beside], "drop"),
        found(points[again], "point.doubled", "the first one is kept", "drop"),
    ]


def in_pixels(points: pd.DataFrame) -> list[pd.DataFrame]:
    """Check sides and levels of points whose patient position is unknown."""
    lines = points[points["place"] != "recess"].assign(depth=points["y"])
    return [
        *_axial_sides(points),
        *_foramen_sides(points),
        *misplaced(lines, ["study_id", "series_id", "condition"]),
        *_levels_in_same_view(points),
    ]


def misplaced(points: pd.DataFrame, line: list[str]) -> list[pd.DataFrame]:
    """Find points whose `depth` is off the line of depth over level through all with the same keys `line`."""
    findings = []
    for _, rows in points.groupby(line):
        if len(rows) >= TELLING_LEVELS:
            off = _off_line(rows)
            off = off[off.abs() > MISPLACED]
            detail = off.map("{:+.1f} levels off the line".format)
            findings.append(found(rows.loc[off.index], "level.misplaced", detail, "drop"))
    return findings


def pairs_of(points: pd.DataFrame, place: str) -> pd.DataFrame:
    """Pair the left and right points of each level: columns end in _left and _right."""
    both = points[points["place"] == place]
    left, right = (both[both["side"] == side] for side in ("left", "right"))
    return left.merge(right, on=["study_id", "level"], suffixes=("_left", "_right"))


def both_rows(points: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The points that belong to pairs."""
    return points[points["row"].isin(pairs["row_left"]) | points["row"].isin(pairs["row_right"])]


def swapped(points: pd.DataFrame, detail: str) -> pd.DataFrame:
    """Findings for points that belong to the other side."""
    condition = points["condition"].map(other_side)
    return found(points, "side.swapped", detail, "mend", condition=condition, level=points["level"])


def _with_only_series(cells: pd.DataFrame, series: pd.DataFrame) -> pd.DataFrame:
    """Add to cells their sequence, how many series of it the study has, and that series if only one."""
    by = series.groupby(["study_id", "sequence"])["series_id"].agg(["count", "first"]).reset_index()
    cells = cells.assign(sequence=cells["condition"].map(condition2sequence))
    cells = cells.merge(by, how="left", on=["study_id", "sequence"])
    return cells.assign(series_id=cells["first"].astype("Int64").where(cells["count"] == 1))


def _off_line(points: pd.DataFrame) -> pd.Series:
    """How many gaps each point lies below the median line (Theil-Sen); -inf for all if the line rises."""
    rank, depth = points["rank"].to_numpy(float), points["depth"].to_numpy(float)
    first, second = np.triu_indices(len(rank), 1)
    apart = rank[second] - rank[first]
    slopes = (depth[second] - depth[first])[apart != 0] / apart[apart != 0]
    gap = float(np.median(slopes)) if len(slopes) else 0.0
    below = depth - gap * rank
    return pd.Series((below - np.median(below)) / gap if gap > 0 else -np.inf, points.index)


def _axial_sides(points: pd.DataFrame) -> list[pd.DataFrame]:
    """Find swapped recesses: left has larger x than right in one image; two series may not be comparable."""
    pairs = pairs_of(points, "recess")
    crossed = pairs[pairs["x_left"] < pairs["x_right"]]
    unlike = (crossed["height_left"] != crossed["height_right"]) & crossed["height_left"].notna()
    comparable = (crossed["series_id_left"] == crossed["series_id_right"]) & ~unlike
    rows = both_rows(points, crossed[~comparable])
    return [
        swapped(both_rows(points, crossed[comparable]), "left lies right of right in the series"),
        found(rows, "side.crossed", "the sides lie in two series", "look"),
    ]


def _foramen_sides(points: pd.DataFrame) -> list[pd.DataFrame]:
    """Find swapped foramina: instance numbers run one way, so a level against the others is swapped."""
    pairs = pairs_of(points, "foramen")
    pairs = pairs[pairs["series_id_left"] == pairs["series_id_right"]]
    way = (pairs["instance_number_left"] - pairs["instance_number_right"]).map(np.sign)
    by_series = way.groupby([pairs["study_id"], pairs["series_id_left"]])
    usual, count = by_series.transform("sum").map(np.sign), by_series.transform("count")
    against = pairs[(way == -usual) & (way != 0) & (count >= TELLING_PAIRS)]
    return [swapped(both_rows(points, against), "instances run against those of the other levels")]


def _levels_in_same_view(points: pd.DataFrame) -> list[pd.DataFrame]:
    """Find canal and foramina a level apart, if both series have the same field of view."""
    points = points.assign(down=points["y"] / points["height"])
    means = points.groupby(["study_id", "rank", "place"])["down"].mean().unstack()
    both = means.reindex(columns=["canal", "foramen"]).dropna()
    findings = []
    for study_id, rows in both.groupby("study_id"):
        if len(rows) >= TELLING_LEVELS:
            rank = rows.index.get_level_values("rank").to_numpy(float)
            gaps = np.polyfit(rank, rows[["canal", "foramen"]].to_numpy(), 1)[0]
            apart = float((rows["foramen"] - rows["canal"]).median()) / gaps[0] + FORAMEN_ABOVE
            if min(gaps) > 0 and abs(np.log(gaps[1] / gaps[0])) < SAME_VIEW and abs(apart) > APART:
                own = points[(points["study_id"] == study_id) & (points["place"] != "recess")]
                detail = f"foramina lie {apart:+.1f} levels below the canal's points"
                findings.append(found(own, "level.disagree", detail, "look"))
    return findings
