"""The robustness table in Markdown: a row for each condition, three columns for each experiment."""

from collections.abc import Mapping

import pandas as pd

from kitlib.report.pages.experiments import document, markdown, number, percent, with_interval

TITLE = "What changed conditions cost"
LEAD = (
    "The competition's metric, lower is better, of the fold models on the studies that they never saw, whose "
    "images were changed as the first column says. Change: the score less the untouched one's on the same "
    "studies, with a 95 % interval over studies. Way: the share of the way from the prior to the oracle, in "
    "per cent; at 0 it is no better than the prior. Written by the command below, and not edited."
)
NOTES = (
    "Sequences are removed before anything is located; axial slices from a level down are those below the "
    "middle between it and the level above. Landmarks are off in a random direction in space, each in its "
    "own; what reads whole slices has none. Noise is of the brightest percent, bias the logarithm of the "
    "gain from back to front. Images that are turned or mirrored say so in their geometry, and are prepared "
    "again as such."
)


def robustness_page(facts: Mapping[str, str], table: pd.DataFrame) -> str:
    """Markdown of what `robustness_table` gives; `facts` as for `results_page`."""
    rows: dict[str, dict[str, str]] = {}
    for row in table.to_dict("records"):
        name, texts = row["experiment"], rows.setdefault(row["condition"], {"condition": row["condition"]})
        texts[name] = number(row["score"])
        texts[f"{name}: change"] = with_interval(row, "difference", sign="+")
        texts[f"{name}: way"] = percent(row["way"])
        texts["prior"] = texts.pop("prior", number(row["prior"]))
    return document(TITLE, LEAD, facts, markdown(pd.DataFrame(list(rows.values()))), NOTES)
