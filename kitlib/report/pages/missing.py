"""Missing sequences as a page: every filler in every scenario, beside what it has to beat."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kitlib.artefacts import write_csv, write_text
from kitlib.evaluate.missing import BASELINES
from kitlib.experiments.scenarios import HALF, NOTHING, scenario2share
from kitlib.report.pages import experiments as page

NAME = "missing_sequences"
TITLE = "Missing sequences: imputed or masked"
LEAD = (
    "What replaces a sequence that a study lacks. Imputers estimate the embeddings of its images from those "
    "of the other sequences. Scores (the competition's metric, lower is better) of the same held-out studies "
    "without the sequences in the first column; all others are present. **Bold**: the whole 95 % interval of "
    "the difference from the imputer's baseline lies below zero; (worse): above it. Intervals, differences "
    "and a verdict for each are in "
    f"[{NAME}.csv]({NAME}.csv). Intervals are not corrected for multiple comparisons: of twenty one is "
    "expected to be wrong. R2 is that of the estimates where one sequence is missing, relative to the mean "
    "of the training studies: at zero or below an estimate explains nothing."
)
family2text = {
    "pseudo": (
        "Means of slices",
        "One vector per sequence, the mean of its slices' embeddings; one classifier for all imputers, which "
        "knows what is real. The baseline is the mean of the training studies.",
    ),
    "views": (
        "Views of the crop model",
        "The vectors of the views at each level (canal, foramina and recesses, each on its sequences), with "
        "the crop model's fusion on top, retrained with each imputer on studies with the same sequences "
        "missing. The baseline is masked fusion, which is how the crop model treats an absent view: it "
        "imputes nothing.",
    ),
}
"""By the first word of an experiment's name."""
filler2text = {
    "none": "masked fusion",
    "zeros": "zeros and a mask",
    "mean": "the mean",
    "knn": "kNN",
    "iterative": "iterative",
    "dae": "DAE",
    "vae": "VAE",
    "attention_vae": "attention and VAE",
    "masked": "learned tokens",
}


def write_missing(out: Path, missing: pd.DataFrame, facts: Mapping[str, str]) -> None:
    """Write what `missing_table` gives as a page and as CSV; `facts` as for `results_page`."""
    parts: list[str] = []
    families = missing["experiment"].str.partition("_")[0]
    for family, (heading, lead) in family2text.items():
        if len(of_it := missing[families == family]):
            parts += [f"## {heading}", lead, page.markdown(scenario_table(of_it))]
    write_text(out / f"{NAME}.md", page.document(TITLE, LEAD, facts, *parts))
    write_csv(out / f"{NAME}.csv", missing)


def scenario_table(missing: pd.DataFrame) -> pd.DataFrame:
    """One family of `missing_table` as texts: a row a scenario, a column a filler; sums below."""
    columns: dict[str, dict[str, str]] = {}
    for experiment, rows in missing.groupby("experiment", sort=False):
        family, _, filler = str(experiment).partition("_")
        column = {scenario_text(row["scenario"]): _score(row) for row in rows.to_dict("records")}
        better, worse = (rows["high"] < 0).sum(), (rows["low"] > 0).sum()
        is_baseline = BASELINES[family][0] == experiment
        column["clearly better, worse"] = "-" if is_baseline else f"{better}, {worse} of {len(rows)}"
        column["R2, one sequence"] = _r2(rows)
        columns[filler2text.get(filler, filler)] = column
    return pd.DataFrame(columns).rename_axis("removed").reset_index()


def scenario_text(scenario: str) -> str:
    """What a scenario takes away."""
    if scenario in scenario2share:
        return f"{scenario2share[scenario]:.0%} at random"
    if scenario in (NOTHING, HALF):
        return scenario if scenario == NOTHING else "half of each study's"
    gone = scenario.removeprefix("without_").split("_")
    return ", ".join(one if one == "axial" else one.upper() for one in gone)


def _score(row: Mapping[Any, Any]) -> str:
    text = page.number(row["score"])
    return f"**{text}**" if row["high"] < 0 else f"{text} (worse)" if row["low"] > 0 else text


def _r2(rows: pd.DataFrame) -> str:
    """The range over the scenarios that take one sequence away, "-" where nothing is guessed."""
    r2 = rows.loc[rows["scenario"].isin([f"without_{one}" for one in ("t1", "t2", "axial")]), "r2"].dropna()
    return f"{page.number(r2.min(), 2)} to {page.number(r2.max(), 2)}" if len(r2) else "-"
