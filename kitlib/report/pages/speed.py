"""The page of speed in Markdown: ratios, what predicting takes, and the steps of a run."""

from collections.abc import Mapping

import pandas as pd

from kitlib.report.pages.experiments import NBSP, Row, document, markdown, number

TITLE = "Speed and memory"
LEAD = (
    "From DICOM files, which lie in the system's cache. Medians over repeats, the smallest and the largest "
    "ratio in brackets. Ratios travel between machines better than seconds do. Written by the command "
    "below, and not edited."
)
RATIOS_LEAD = (
    "Reading is from files to arrays: SimpleITK's reader makes one volume of a series, and leaves out one "
    "whose slices are of two sizes. Embedding is from files to stored vectors, with random weights; the loop "
    "reads, resizes and embeds a slice at a time in full precision, on all cores."
)
PREDICTING_LEAD = (
    "A fresh process for each row opens the fold models of the run and predicts so many studies, which have "
    "the images of the drawn ones in turns. The first study loads what the others find loaded. All in: the "
    "whole process, its start among it, by the studies."
)
STEPS_LEAD = "As the run itself has recorded it, whenever that was; phantoms were drawn before it."


def speed_page(
    facts: Mapping[str, str], ratios: pd.DataFrame, predicting: pd.DataFrame, steps: pd.DataFrame
) -> str:
    """Markdown of what `kitlib.run.speed` measures; `facts` as for `results_page`."""
    rows = pd.DataFrame(map(_ratio_row, ratios.to_dict("records")))
    parts = ["## Against the loops one would write first", RATIOS_LEAD, markdown(rows)]
    parts += ["## Predicting", PREDICTING_LEAD, markdown(_predicting_rows(predicting))]
    parts += ["## The run, step by step", STEPS_LEAD, markdown(_step_rows(steps))]
    return document(TITLE, LEAD, facts, *parts)


def _ratio_row(row: Row) -> dict[str, str]:
    ratio, low, high = (number(row[name], 1) for name in ("ratio", "ratio_min", "ratio_max"))
    return {
        "what": row["what"],
        "against": row["against"],
        "slices a second: loop": number(row["loop_per_s"], 0),
        "kitlib": number(row["kit_per_s"], 0),
        "times as fast": f"{ratio} ({low}{NBSP}to{NBSP}{high})",
    }


def _predicting_rows(predicting: pd.DataFrame) -> pd.DataFrame:
    rows = predicting.to_dict("records")
    texts = [
        {
            "studies": row["studies"],
            "s a study": number(row["study_s"], 2),
            "s a study, all in": number(row["wall_s"] / row["studies"], 2),
            "peak memory, MB": number(row["peak_memory_mb"], 0),
            "beside the first row's": number(row["peak_memory_mb"] / rows[0]["peak_memory_mb"], 2),
        }
        for row in rows
    ]
    return pd.DataFrame(texts)


def _step_rows(steps: pd.DataFrame) -> pd.DataFrame:
    total_s = steps["wall_s"].sum()
    texts = [
        {
            "step": row["step"],
            "s": number(row["wall_s"], 1),
            "share, %": number(100 * row["wall_s"] / total_s, 0),
            "peak memory, MB": number(row["peak_memory_mb"], 0),
        }
        for row in steps.to_dict("records")
    ]
    return pd.DataFrame(texts)
