"""The page about a run: its results, figures, ledger, environment and provenance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kitlib.artefacts import load_json, load_table
from kitlib.errors import StepError
from kitlib.evaluate.tables import fault_counts
from kitlib.report.figures import scores as score_figures
from kitlib.report.pages import html
from kitlib.report.pages.chapters import origin
from kitlib.report.pages.experiments import result_table
from kitlib.report.style import said_by
from kitlib.run import layout
from kitlib.run.steps import changed_inputs, done, name2step, outputs_fingerprint

LEAD = """
The results of a run of the notebooks: its scores, its figures, what was wrong with its data, and what it was
made with. Nothing here is for patient care.
"""
UNRECORDED = "The run does not record what its data are: it was made by an earlier version."
SCORED = """
The competition's metric, lower is better; 95\N{NO-BREAK SPACE}% intervals are bootstrapped over whole
studies, differences are paired on the same studies.
"""
STEPS = "Completed steps; one is out of date if what it has read was rewritten since."
PROVENANCE = """
Fingerprints of what each step wrote: the same code, parameters and data give the same. Files have a sha256.
"""
heading2scores = {
    "Out of fold": layout.SCORES,
    "Test studies, which no earlier step has read": layout.TEST_SCORES,
}
heading2ledger = {"Training and test data": layout.LEDGER, "Test studies as predicted": layout.TEST_LEDGER}
Manifests = Mapping[str, Mapping[str, Any]]
"""What each step that is done says of itself, in their order."""


def run_page(work: Path) -> str:
    """The page about the run in a work folder, as HTML; StepError where no step of a run is done there."""
    names = sorted(name2step)
    manifests = {name: manifest for name in names if (manifest := done(work, name))}
    if not manifests:
        hint = "Name the folder of a run by --work, or run `python -m kitlib run` first."
        raise StepError("no step of a run is done here", where=work, hint=hint)
    last = manifests[max(manifests)]
    data = last.get("data")
    described = origin(Path(data["name"]), is_phantom=data["is_phantom"]) if data else UNRECORDED
    sections = {
        "Results": _results(work),
        "Steps": [_steps(work, manifests)],
        "Figures": _figures(work, manifests),
        "Faults and decisions": _ledgers(work),
        "Environment": _environment(manifests),
        "Provenance": _provenance(work, manifests),
    }
    profile = last["parameters"].get("name", "")
    return html.page(f"The run of the profile {profile}", f"{LEAD.strip()} {described}", sections)


def run_facts(work: Path) -> dict[str, str]:
    """On how many studies a run was made, and what its models read."""
    folds, inputs = load_table(layout.FOLDS.under(work))["fold"], load_json(layout.INPUTS.under(work))
    made = {
        f"{spec['backbone']}, weights {spec['weights']}" if "weights" in spec else spec["kind"]
        for spec in inputs.values()
    }
    return {
        "data": f"{len(folds)} studies in {folds.nunique()} folds of whole studies",
        "weights": "; ".join(sorted(made)),
    }


def run_scores(work: Path) -> dict[str, pd.DataFrame]:
    """The scores of a run by heading: out of fold and, where their truth is known, on test studies."""
    found = {heading: file.under(work) for heading, file in heading2scores.items()}
    return {heading: load_table(path) for heading, path in found.items() if path.is_file()}


def _results(work: Path) -> list[str]:
    scores = run_scores(work)
    if not scores:
        return [html.paragraph("Nothing is scored yet: notebook 5 is not done.")]
    first, *_ = scores.values()
    caption = f"{next(iter(scores))}: the scores and intervals of the table below."
    parts = [html.paragraph(SCORED), html.figure(score_figures.scores(first), caption)]
    parts += [_table(result_table(table), heading) for heading, table in scores.items()]
    return [*parts, _pairs(run_facts(work), "What was fitted")]


def _steps(work: Path, manifests: Manifests) -> str:
    rows = []
    for name, manifest in manifests.items():
        sizes = [facts["bytes"] for facts in manifest["outputs"].values()]
        changed = changed_inputs(work, name)
        row = {
            "step": name,
            "state": f"out of date: {', '.join(changed)}" if changed else "done",
            "finished": manifest.get("ended", "-"),
            "seconds": f"{manifest['wall_s']:.1f}",
            "peak memory, MB": manifest["peak_memory_mb"],
            "files": len(sizes),
            "MB": f"{sum(sizes) / 2**20:.1f}",
        }
        rows.append(row)
    return _table(pd.DataFrame(rows), STEPS)


def _figures(work: Path, manifests: Manifests) -> list[str]:
    """The figures of each step, folded."""
    parts = []
    for name in manifests:
        files = sorted((work / name).glob("figures/*.png"))
        shown = [html.figure(html.as_webp(file.read_bytes()), said_by(file), "webp") for file in files]
        if shown:
            parts.append(html.folded(f"{name} ({len(shown)} figures)", "".join(shown)))
    return parts or [html.paragraph("There are no figures.")]


def _ledgers(work: Path) -> list[str]:
    parts = []
    for heading, file in heading2ledger.items():
        if (path := file.under(work)).is_file():
            counts = fault_counts(load_table(path))
            empty = html.paragraph(f"{heading}: nothing.")
            parts.append(_table(counts, heading) if len(counts) else empty)
    return parts or [html.paragraph("No step with a ledger is done.")]


def _environment(manifests: Manifests) -> list[str]:
    """Machine and versions; a column for each set of them that steps were run with."""
    facts = {name: {**one.get("machine", {}), **one["versions"]} for name, one in manifests.items()}
    distinct = pd.DataFrame(facts).T.drop_duplicates().T
    if len(distinct.columns) == 1:
        distinct.columns = ["every step"]
    return [
        _table(
            distinct.rename_axis("").reset_index(),
            "Each column is named after the first step that was run with it.",
        )
    ]


def _provenance(work: Path, manifests: Manifests) -> list[str]:
    steps = [
        {
            "step": name,
            "wrote": outputs_fingerprint(work, name),
            "read": ", ".join(f"{source} {digits}" for source, digits in manifest["inputs"].items()) or "-",
            "code, parameters and data": manifest.get("state", "-"),
        }
        for name, manifest in manifests.items()
    ]
    files = [
        {"file": f"{name}/{file}", "bytes": facts["bytes"], "sha256": facts["sha256"]}
        for name, manifest in manifests.items()
        for file, facts in manifest["outputs"].items()
        if "/" not in file
    ]
    parameters = {name: str(value) or "-" for name, value in manifests[max(manifests)]["parameters"].items()}
    listed = _table(pd.DataFrame(files), "Files of each step, except those in subfolders.")
    return [
        html.paragraph(PROVENANCE),
        _table(pd.DataFrame(steps), "Steps"),
        _pairs(parameters, "Parameters of the last step"),
        html.folded(f"{len(files)} files", listed),
    ]


def _table(frame: pd.DataFrame, name: str) -> str:
    return html.scrolling(html.table(frame, name), name)


def _pairs(pairs: Mapping[str, str], name: str) -> str:
    return _table(pd.DataFrame(pairs.items(), columns=["", "value"]), name)
