"""Published systems as pages: one table, the pairs that answer questions, what leaks and what is absent."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from kitlib.artefacts import write_csv, write_text
from kitlib.experiments.table import GridResults
from kitlib.report.figures.scores import missing_curve
from kitlib.report.pages import experiments as page
from kitlib.report.pages.missing import NAME, write_missing
from kitlib.report.style import save_figure

TITLE = "Every published system beside what was published of it"
DATED = "published_systems"
LIMITS = (
    "**What it does not say.** It is no forecast for patients where the studies are phantoms, and no test of "
    "the published code: what is compared is systems under one protocol. Written by the command, not edited."
)


def write_grid(out: Path, found: GridResults, made: str) -> None:
    """Write the tables of a grid for people as `table.md` and `table.html`, and as CSV by their names."""
    tables, results = _tables(found), found.experiments
    prior = float(found.baselines.set_index("experiment")["score"].astype(float)["prior"])
    leaks = page.leak_picture(results, found.baselines)
    pictures = {
        page.LEAKING: (leaks, "Honest, leaking and published, side by side."),
        page.MISSING: (missing_curve(found.missing, prior), "Sequences removed at random."),
    }
    numbers = {"results": results, "baselines": found.baselines, "pairs": found.pairs}
    for name, frame in {**numbers, "missing": found.missing}.items():
        write_csv(out / f"{name}.csv", frame)
    notes = page.footnotes(results)
    parts = [f"# {TITLE}", made, page.LEAD, *page.markdown_sections(tables, notes)]
    write_text(out / "table.md", "\n\n".join(parts) + "\n")
    document = page.html_page(TITLE, f"{made} {page.LEAD}", tables, notes, pictures)
    write_text(out / "table.html", document)


def write_dated(out: Path, found: GridResults, facts: Mapping[str, str]) -> None:
    """Write `published_systems.md`, to be committed, its CSV and picture; `facts` as for `results_page`.

    What fills missing sequences has a page of its own beside it, see `write_missing`.
    """
    results = found.experiments
    tables = _tables(found)
    more = []
    if len(tables.pop(page.MISSING)):
        write_missing(out, found.missing, facts)
        more = [f"What stands in the place of missing sequences: [{NAME}.md]({NAME}.md)."]
    tables[page.HONEST]["experiment"] = [f"`{name}`" for name in tables[page.HONEST]["experiment"]]
    picture = out / f"{DATED}_leaks.png"
    save_figure(page.leak_picture(results, found.baselines), picture)
    shown = f"![The same systems, judged in two ways]({picture.name})"
    sections = page.markdown_sections(tables, page.footnotes(results))
    text = page.document(TITLE, page.LEAD, facts, LIMITS, *more, *sections, shown)
    write_text(out / f"{DATED}.md", text.replace(page.NBSP, " "))
    done = results[results["state"] == "done"]
    write_csv(out / f"{DATED}.csv", done, "%.6f")


def answer_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """Each question of `pair_table` in a line: in how many of its pairs which side is better."""
    rows = []
    for question, of_it in pairs.groupby("question", sort=False):
        better = of_it["better"]
        counts = {
            "pairs": len(of_it),
            "the first is lower": (of_it["difference"] < 0).sum(),
            "clearly": (better == of_it["first"]).sum(),
            "clearly higher": (better == of_it["second"]).sum(),
        }
        rows.append({"question": question} | {name: str(count) for name, count in counts.items()})
    return pd.DataFrame(rows)


def pairs_in_text(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `pair_table` as texts."""
    return pd.DataFrame(
        {
            "question": row["question"],
            "first": row["first"],
            "second": row["second"],
            "first less second": page.with_interval(row, "difference", sign="+"),
            "better": row["better"] or "cannot be told",
        }
        for row in pairs.to_dict("records")
    )


def _tables(found: GridResults) -> dict[str, pd.DataFrame]:
    """Texts by heading."""
    return {
        page.HONEST: page.honest_table(found.experiments, found.baselines),
        page.ANSWERS: answer_table(found.pairs),
        page.PAIRS: pairs_in_text(found.pairs),
        page.LEAKING: page.leaking_table(found.experiments),
        page.MISSING: found.missing,
        page.ABSENT: page.absent_table(found.experiments),
    }
