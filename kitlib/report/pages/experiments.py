"""Scores for people: the table of experiments in Markdown and HTML, and the dated results of a run."""

import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import pandas as pd

from kitlib.errors import WeightsError
from kitlib.experiments.table import BLEND, NORMAL
from kitlib.report.figures.scores import leaks, measure2title
from kitlib.report.pages import html
from kitlib.report.style import Picture

HONEST, LEAKING = "Whole-study folds", "The published splits, which leak"
ANSWERS, PAIRS = "What the pairs say", "The pairs"
MISSING, ABSENT = "Missing sequences", "Not in the table"
NO_WEIGHTS, NOT_RUN = "no weights", "not run"
LAST = {"pseudo_views": 2, "crops": 2, BLEND["model"]: 3}
"""Models that nobody published stand last: those on the kit's crops, and the blend of everything."""
measure2heading = {"accuracy": "accuracy", "macro_f1": "macro-F1", "macro_auc": "macro AUC"}
PUBLISHED = ("published_accuracy", "published_f1", "published_auc")
NBSP, WIDTH_REM = "\u00a0", 98
ABSENCES = {
    "not run": "have not been run",
    "not ended": "have not ended: a run is under way, or was stopped and goes on where it is started again",
}
LACKING = (
    "Rows without weights stay empty on purpose: a backbone that phantoms had to teach, because its real "
    "weights could not be had, would be another system. Real ones in a PyTorch file are kept where every run "
    "looks by `python -m kitlib weights convert FILE.pth --backbone NAME`; where the hub can be reached, it "
    "gives ImageNet's by itself. Then the same command fills the rows."
)
baseline2text = {
    "oracle": "A baseline: knows the phantoms' anatomy, and how their readers err",
    "prior": "A baseline: weighted frequencies of each cell in the other folds, no image",
    "1/3": "A baseline: a third for each severity",
    NORMAL: "A baseline: Normal/Mild is certain",
}
BLIND = ("prior", "random")
"""Models that look at no image, whatever backbone stands beside them."""
LEAD = (
    "Every published system under one protocol: no study stands on both sides of a fold. Score: the "
    "competition's metric, lower is better, with its 95 % interval over studies; the difference to the prior "
    "is taken on the same studies. Accuracy, macro-F1 and macro AUC-ROC are means over the 25 cells, in per "
    "cent. The first AUC takes all folds together, whose priors differ, so that what sees nothing gets less "
    "than 50; the second is the mean of the folds' own. What a backbone has seen stands in each row; one "
    "whose weights or library are not to be had says so in place of a score. "
    "Classifiers on one trained embedder train it once, and its seconds stand with one of them. The "
    "last column repeats what was published for that system, on a split of its own."
)
LEAKING_LEAD = (
    "NOT comparable with the table above: here rows of one study stand on both sides of the split, or a "
    "system is judged on what it was fitted on. Figures are per row, not per study, and have no interval. "
    "They show how published figures come about; the same system under whole-study folds stands beside."
)
PAIRS_LEAD = (
    "The score of the first less that of the second, on the same studies, with its 95 % interval; below zero "
    "the first is better. Each interval stands for itself: of twenty pairs one is expected to be wrong. "
    "Pairs on one backbone with one kind of model differ in what is asked alone (an SVC with nothing against "
    "imbalance has no class weights either). The others differ in more: two backbones in size and what they "
    "have seen, some in field of view; fusion and crops are other models. Such a pair tells which system is "
    "better, not why."
)
heading2lead = {LEAKING: [LEAKING_LEAD], ANSWERS: [PAIRS_LEAD]}
RESULTS_LEAD = (
    "The competition's metric, lower is better; 95 % intervals draw whole studies with replacement, "
    "differences are paired on the same studies. Written by the command below, and not edited."
)
PARTS = ("spinal", "foraminal", "subarticular", "any_severe_spinal")

Row: TypeAlias = Mapping[Any, Any]


def honest_table(results: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    """Experiments and baselines under whole-study folds as texts, the best score first.

    Below them stand those whose weights or library were not to be had, and at the end LAST.
    """
    honest = results[~results["leaks"].astype(bool)]
    done, skipped = honest[honest["state"] == "done"], honest[honest["state"] == "skipped"]
    known = (done["model"] == "prior").any()
    shown = baselines[baselines["experiment"] != "prior"] if known else baselines
    rows = pd.concat(
        [
            done.assign(place=done["model"].map(LAST).fillna(0)),
            shown.assign(place=0, description=shown["experiment"].map(baseline2text)),
            skipped.assign(place=1),
        ],
        ignore_index=True,
    ).sort_values(["place", "score"])
    return pd.DataFrame([_honest_row(row) for row in rows.to_dict("records")])


def leaking_table(results: pd.DataFrame) -> pd.DataFrame:
    """Experiments under leaking splits as texts, each beside its twin under whole-study folds."""
    leaking = results[(results["state"] == "done") & results["leaks"].astype(bool)]
    if leaking.empty:  # where nothing at all is done, there are no columns to sort by
        return pd.DataFrame()
    twins: dict[str, Row] = {row["experiment"]: row for row in results.to_dict("records")}
    rows = leaking.sort_values(["split", "score"]).to_dict("records")
    return pd.DataFrame([_leaking_row(row, twins.get(row["twin_of"], {})) for row in rows])


def leak_picture(results: pd.DataFrame, baselines: pd.DataFrame) -> Picture:
    """Every leaking twin beside the same system under whole-study folds and what was published."""
    done = results[results["state"] == "done"].to_dict("records")
    name2row: dict[str, Row] = {row["experiment"]: row for row in done}
    rows = []
    for row in (row for row in done if row["leaks"]):
        system = f"{row['twin_of']} ({row['split']})"
        published = {measure: row[name] for measure, name in zip(measure2title, PUBLISHED)}
        kinds = {"honest": name2row.get(row["twin_of"], {}), "leaking": row, "published": published}
        rows += [{**values, "system": system, "kind": kind} for kind, values in kinds.items()]
    normal = baselines.loc[baselines["experiment"] == NORMAL, "accuracy"].iloc[0]
    return leaks(pd.DataFrame(rows, columns=["system", "kind", *measure2title]), float(normal))


def absent_table(results: pd.DataFrame) -> pd.DataFrame:
    """Experiments that are not in the tables for a reason, with it; skipped ones are there."""
    shown = (results["state"] == "skipped") & ~results["leaks"].astype(bool)
    absent = results[(results["reason"] != "") & ~shown]
    return absent[["experiment", "state", "reason"]].reset_index(drop=True)


def footnotes(results: pd.DataFrame) -> list[str]:
    """What a reader should know of single rows: notes of the models, and experiments not run."""
    notes = results.get("notes", pd.Series("", index=results.index)).fillna("")
    lines = [f"{name}: {note}." for name, note in zip(results["experiment"], notes) if note]
    if any(_lacks_weights(row) for row in results.to_dict("records")):
        lines.insert(0, LACKING)
    for state, text in ABSENCES.items():
        if count := int((results["state"] == state).sum()):
            lines.append(f"{count} of {(results['model'] != BLEND['model']).sum()} experiments {text}.")
    return lines


def markdown(frame: pd.DataFrame) -> str:
    """A table in GitHub's Markdown."""
    cells = frame.astype(object).where(frame.notna(), "-").astype(str).to_numpy().tolist()
    lines = [list(frame.columns), ["---"] * len(frame.columns), *cells]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def percent(share: float) -> str:
    """A share in per cent with one decimal, "-" for NaN."""
    return number(100 * share, 1)


def number(value: float, decimals: int = 3, sign: str = "") -> str:
    """A number, "-" for NaN."""
    return "-" if math.isnan(value) else f"{value:{sign}.{decimals}f}"


def with_interval(row: Row, name: str, prefix: str = "", sign: str = "") -> str:
    """An estimate with its interval, whose columns are low and high after the prefix."""
    estimate, low, high = (number(row[key], sign=sign) for key in (name, f"{prefix}low", f"{prefix}high"))
    return estimate if low == "-" else f"{estimate} ({low}{NBSP}to{NBSP}{high})"


def triple(row: Row, names: Iterable[str]) -> str:
    """Three shares in per cent between slashes, "-" where none is known."""
    shares = [percent(row.get(name, math.nan)) for name in names]
    return "-" if set(shares) == {"-"} else f"{NBSP}/{NBSP}".join(shares)


def markdown_sections(tables: Mapping[str, pd.DataFrame], notes: Iterable[str]) -> list[str]:
    """Paragraphs of Markdown: the tables that have rows under their headings, and the notes as a list."""
    parts = []
    for heading, frame in tables.items():
        if len(frame):
            parts += [f"## {heading}", *heading2lead.get(heading, ()), markdown(frame)]
    listed = "\n".join(f"- {note}" for note in notes)
    return [*parts, *([listed] if listed else [])]


def html_page(
    title: str,
    lead: str,
    tables: Mapping[str, pd.DataFrame],
    notes: Iterable[str],
    pictures: Mapping[str, tuple[Picture, str]],
) -> str:
    """The same in HTML, below a title and a lead; some headings have `pictures` with captions."""
    sections = {}
    for heading, frame in tables.items():
        if len(frame):
            shown = [html.figure(*pictures[heading])] if heading in pictures else []
            leads = [html.paragraph(text) for text in heading2lead.get(heading, ())]
            sections[heading] = [*leads, *shown, html.table(frame, f"{len(frame)} rows")]
    if listed := [html.paragraph(note) for note in notes]:
        sections["Notes"] = listed
    return html.page(title, lead, sections, width_rem=WIDTH_REM)


def _honest_row(row: Row) -> dict[str, str]:
    skipped, is_baseline = row.get("state") == "skipped", not isinstance(row.get("weights"), str)
    blind = is_baseline or row["model"] in BLIND
    seen = row["reason"] if skipped else "" if blind else row["weights"]
    lacking = NO_WEIGHTS if _lacks_weights(row) else NOT_RUN
    measures = {**measure2heading, "macro_auc_folds": "AUC, mean of folds"}
    return {
        "experiment": str(row["experiment"]),
        "what it is": str(row["description"]),
        "what its backbone has seen": str(seen),
        **{heading: percent(row.get(measure, math.nan)) for measure, heading in measures.items()},
        "score": lacking if skipped else with_interval(row, "score"),
        "less the prior": "-" if skipped else with_interval(row, "difference", "difference_", "+"),
        "fit s": "" if is_baseline else number(row["fit_s"], 1),
        "peak MB": "" if is_baseline else number(row["fit_peak_mb"], 0),
        "published: acc / F1 / AUC": triple(row, PUBLISHED),
    }


def _lacks_weights(row: Row) -> bool:
    """Whether an experiment was skipped for want of weights, and not of a library."""
    return row.get("state") == "skipped" and str(row["reason"]).startswith(f"[{WeightsError.code}]")


def _leaking_row(row: Row, twin: Row) -> dict[str, str]:
    return {
        "experiment": row["experiment"],
        "split (LEAKS)": row["split"],
        "rows": number(row["rows"], 0),
        "of a study fitted on": percent(row["shared"]),
        **{heading: percent(row[measure]) for measure, heading in measure2heading.items()},
        "score": number(row["score"]),
        "whole studies: acc / F1 / AUC": triple(twin, measure2heading),
        "score there": number(twin.get("score", math.nan)),
        "published: acc / F1 / AUC": triple(row, PUBLISHED),
    }


def results_page(title: str, facts: Mapping[str, str], tables: Mapping[str, pd.DataFrame]) -> str:
    """Markdown of scores, as `score_table` gives them against a baseline, by heading.

    `facts` say how they were made, such as the command, the data and the weights; the date is today's.
    """
    texts = {heading: result_table(scores) for heading, scores in tables.items()}
    return document(title, RESULTS_LEAD, facts, *markdown_sections(texts, ()))


def result_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores, as `score_table` gives them against a baseline, as texts, the best first."""
    return pd.DataFrame([_result_row(row) for row in scores.sort_values("total").to_dict("records")])


def document(title: str, lead: str, facts: Mapping[str, str], *parts: str) -> str:
    """A page of results in Markdown: what it is, the facts with today's date, and paragraphs."""
    said = {**facts, "date": str(datetime.date.today())}
    table = markdown(pd.DataFrame(said.items(), columns=["", " "]))
    return "\n\n".join([f"# {title}", lead, table, *parts]) + "\n"


def _result_row(row: Row) -> dict[str, str]:
    return {
        "prediction": row["prediction"],
        "score": with_interval(row, "total"),
        f"minus the {row['against']}": with_interval(row, "difference", "difference_", "+"),
        **{part.replace("_", " "): number(row[part]) for part in PARTS},
    }
