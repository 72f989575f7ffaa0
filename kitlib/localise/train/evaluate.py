"""Evaluate the localiser on unseen phantoms, and on images degraded step by step."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from kitlib.localise.localiser import Localiser
from kitlib.localise.points import Located, Point
from kitlib.localise.train.perturb import STRENGTHS, Case, perturbed
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.terms import SAGITTAL_T2, Cell, Landmark, landmark_of

ERROR_COLUMNS = (
    "study_id", "transitional", "landmark", "level", "side", "found", "kept", "confidence",
    "error_mm", "error_3d_mm", "slices_off", "level_right",
)  # fmt: skip
LOST_MM = 15.0  # a point further than half a level from the true one is at no level


def phantom_errors(
    localiser: Localiser, study_ids: Iterable[int], *, seed: int, size: str = "demo"
) -> pd.DataFrame:
    """One row (ERROR_COLUMNS) for each true landmark of phantoms; see `study_errors`."""
    tables = [
        study_errors(study, localiser.locate_study(study.study))
        for study in _drawn(study_ids, seed, size, "phantoms located")
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(ERROR_COLUMNS))


def _drawn(study_ids: Iterable[int], seed: int, size: str, doing: str) -> Iterator[PhantomStudy]:
    """Complete phantoms, one at a time, with a progress bar."""
    for study_id in tqdm(study_ids, desc=doing, mininterval=1):
        yield draw_study(study_id, seed=seed, size=size, missing_rate=0)


def study_errors(study: PhantomStudy, located: Located) -> pd.DataFrame:
    """Errors at each true landmark of a phantom: in the slice's plane, in space, in slices and of the level.

    The patient moves between series, and the true points move along. A level is right if the nearest true
    point of the same kind and side is the point's own, and closer than LOST_MM.
    """
    points = {point.landmark: point for point in located.points}
    truth = _still(study)
    rows = [
        {
            "study_id": study.study_id,
            "transitional": study.facts["transitional"],
            **dict(zip(("landmark", "level", "side"), landmark)),
            "found": landmark in points,
            "kept": landmark in points and not located.abstained,
            **(_errors(points[landmark], truth, study) if landmark in points else {}),
        }
        for landmark in truth
    ]
    return pd.DataFrame(rows, columns=list(ERROR_COLUMNS))


def _still(study: PhantomStudy) -> dict[Landmark, np.ndarray]:
    """True points (3,) of a study's landmarks before the patient moved."""
    moved = {series.series_id: series.motion_mm for series in study.series}
    columns = ["condition", "level", "series_id", "x_mm", "y_mm", "z_mm"]
    found = {}
    for condition, level, series_id, *point_mm in study.landmarks[columns].itertuples(index=False, name=None):
        cell = Cell(condition, level)
        found[landmark_of(cell)] = np.array(point_mm) - moved[series_id]
    return found


def _errors(
    point: Point, truth: Mapping[Landmark, np.ndarray], study: PhantomStudy
) -> dict[str, float | bool]:
    (series,) = (series for series in study.series if series.series_id == point.series_id)
    found = series.instance(point.instance_number)
    assert found is not None, "points lie on instances"
    stack, index = found
    alike = {other.level: mm for other, mm in truth.items() if other[::2] == point.landmark[::2]}
    ways = {level: point.patient_mm - mm - series.motion_mm for level, mm in alike.items()}
    way = ways[point.landmark.level]
    aside = np.abs(stack.positions_mm - (truth[point.landmark] + series.motion_mm) @ stack.normal)
    return {
        "confidence": point.confidence,
        "error_mm": float(np.linalg.norm(way - (way @ stack.normal) * stack.normal)),
        "error_3d_mm": float(np.linalg.norm(way)),
        "slices_off": float(abs(int(aside.argmin()) - index)),
        "level_right": _is_nearest(point.landmark.level, ways),
    }


def _is_nearest(level: str, ways_mm: Mapping[str, np.ndarray]) -> bool:
    """Whether a point is nearest to its own level, and near enough."""
    far_mm = {other: np.linalg.norm(way) for other, way in ways_mm.items()}
    return bool(min(far_mm.values()) == far_mm[level] < LOST_MM)


def summary(errors: pd.DataFrame) -> pd.DataFrame:
    """One row for each kind of landmark and kind of spine: what was found, how well, and what was kept.

    Errors are those of kept points at the right level; level accuracy is over found and over kept points.
    """
    kind = errors["transitional"].ne("").map({True: "transitional", False: "five lumbar vertebrae"})
    rows = []
    for (place, spine), group in errors.groupby(["landmark", kind], sort=False):
        right = group["level_right"].eq(True)
        kept = group[group["kept"] & right]
        rows.append(
            {
                "landmark": place,
                "spine": spine,
                "count": len(group),
                "found": group["found"].mean(),
                "kept": group["kept"].mean(),
                "median_mm": kept["error_mm"].median(),
                "p95_mm": kept["error_mm"].quantile(0.95),
                "median_3d_mm": kept["error_3d_mm"].median(),
                "slice_within_one": (kept["slices_off"] <= 1).mean(),
                "level_right_found": right[group["found"]].mean(),
                "level_right_kept": right[group["kept"]].mean(),
            }
        )
    return pd.DataFrame(rows)


def reliability(errors: pd.DataFrame, bins: int = 5) -> pd.DataFrame:
    """Mean confidence and the share of right levels, over found points in bins of equal size."""
    found = errors[errors["found"]]
    ranks = found["confidence"].rank(method="first", pct=True)
    groups = found.groupby(np.ceil(ranks * bins).astype(int))
    return groups.agg(
        count=("confidence", "size"),
        confidence=("confidence", "mean"),
        level_right=("level_right", lambda right: right.eq(True).mean()),
    )


def phantom_curves(
    localiser: Localiser, study_ids: Iterable[int], *, seed: int, size: str = "demo"
) -> pd.DataFrame:
    """Robustness on middle T2 slices of phantoms, degraded step by step; see `robustness`."""
    cases = [phantom_case(study) for study in _drawn(study_ids, seed, size, "slices drawn")]
    return robustness(localiser, cases, np.random.default_rng(seed))


def phantom_case(study: PhantomStudy) -> Case:
    """The T2 slice of a phantom that lies best in the canal, with its canal points."""
    canal = study.landmarks[study.landmarks["condition"] == "spinal_canal_stenosis"]
    stack = study.study.stacks(SAGITTAL_T2)[0]
    pixels = stack.to_pixel(canal[["x_mm", "y_mm", "z_mm"]])
    index = int(np.clip(np.round(np.median(pixels[:, 2])), 0, len(stack) - 1))
    level2xy = dict(zip(canal["level"], pixels[:, :2]))
    return Case(f"phantom {study.study_id}", stack.pixels[index], stack.spacing_mm, level2xy)


def case_errors(localiser: Localiser, case: Case) -> pd.DataFrame:
    """One row for each canal point of an image: level, found, kept, error_mm and level_right."""
    located = localiser.locate_array(case.image, case.spacing_mm)
    found = {point.landmark.level: point for point in located.points if point.landmark.place == "canal"}
    rows = []
    for level in case.level2xy:
        row: dict[str, object] = {"case": case.name, "level": level, "found": level in found}
        row["kept"] = level in found and not located.abstained
        if level in found:
            at = np.array([found[level].x, found[level].y])
            ways_mm = {other: (at - xy) * case.spacing_mm[::-1] for other, xy in case.level2xy.items()}
            row |= {"confidence": found[level].confidence, "level_right": _is_nearest(level, ways_mm)}
            row["error_mm"] = float(np.linalg.norm(ways_mm[level]))
        rows.append(row)
    columns = ["case", "level", "found", "kept", "confidence", "error_mm", "level_right"]
    return pd.DataFrame(rows, columns=columns)


def robustness(
    localiser: Localiser, cases: Sequence[Case], rng: np.random.Generator, names: Iterable[str] = STRENGTHS
) -> pd.DataFrame:
    """One row for each perturbation and strength: level accuracy, median error, and what was kept.

    Accuracy is over all true levels: a point that is not found counts as wrong.
    """
    rows = []
    for name in names:
        for strength in STRENGTHS[name]:
            worse = [perturbed(case, name, strength, rng) for case in cases]
            errors = pd.concat([case_errors(localiser, case) for case in worse])
            right = errors["level_right"].eq(True)
            rows.append(
                {
                    "perturbation": name,
                    "strength": strength,
                    "level_right": right.mean(),
                    "level_right_kept": right[errors["kept"]].mean(),
                    "kept": errors["kept"].mean(),
                    "median_mm": errors.loc[right, "error_mm"].median(),
                }
            )
    return pd.DataFrame(rows)
