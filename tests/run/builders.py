"""A small repository of fake notebooks, and a competition of tables only."""

import csv
from pathlib import Path
from typing import Any

import nbformat

from kitlib.run.steps import STEPS
from kitlib.terms import CELL_NAMES, PROBABILITIES, row_ids

PARAMETERS = 'profile = "smoke"\ndata_dir = ""\nwork_dir = ""'
BEGIN = "from kitlib.run.settings import begin, finish\nsettings = begin({step!r}, globals())"
WORK = """
from pathlib import Path
path = settings.own_folder / "result.txt"
path.write_text({text!r})
with open(settings.work_dir / "runs.txt", "a") as runs:
    _ = runs.write(settings.step.name + chr(10))
"""
FINISH = "finish(settings)"
SCORES = """
import pandas as pd
from kitlib.artefacts import save_table
scores = pd.DataFrame([("calibrated blend", .5, .4, .6), ("prior", .8, .7, .9), ("1/3", .9994, .9994, .9994)],
    columns=["prediction", "total", "low", "high"])
save_table(settings.own_folder / "scores.parquet", scores, settings.provenance())
"""
SUBMISSION = """
from kitlib.competition.priors import Prior
from kitlib.competition.submission import write_submission
prior = Prior.fit(settings.competition.train_labels())
write_submission(settings.own_folder / "submission.csv", prior.predict(settings.competition.test_study_ids()))
"""
step2extra = {"05_ensembling": SCORES, "06_submission": SUBMISSION}


def make_notebook(*sources: str, tag: str = "parameters") -> nbformat.NotebookNode:
    """A notebook with these code cells after a parameters cell."""
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, *sources)]
    cells[0].metadata["tags"] = [tag]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def make_step(step: str, *middle: str, text: str = "done", finish: str = FINISH) -> nbformat.NotebookNode:
    """A step's notebook that writes one small file, with the test's own cells before the last."""
    work = WORK.format(text=text) + step2extra.get(step, "")
    return make_notebook(BEGIN.format(step=step), work, *middle, finish)


def make_repository(home: Path) -> Path:
    """A folder with `notebooks/` for six small steps and an empty `submissions/`."""
    for step in STEPS:
        write_notebook(home, step.name, make_step(step.name))
    (home / "submissions").mkdir()
    return home


def write_notebook(home: Path, step: str, notebook: nbformat.NotebookNode) -> Path:
    path = home / "notebooks" / f"{step}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def make_competition(root: Path) -> Path:
    """Four training studies and two test studies, tables only."""
    root.mkdir(parents=True)
    with open(root / "train.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["study_id", *CELL_NAMES])
        table.writerows([study, *["Normal/Mild", "Severe"][study % 2 :][:1] * 25] for study in range(1, 5))
    with open(root / "sample_submission.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["row_id", *PROBABILITIES])
        table.writerows([row, 1 / 3, 1 / 3, 1 / 3] for study in (11, 12) for row in sorted(row_ids(study)))
    return root


def execute_here(source: Path, _executed: Path, parameters: dict[str, Any], **_how: Any) -> None:
    """A stand-in for `execute` without a kernel, which saves a second per notebook."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in nbformat.read(source, as_version=4).cells:
        exec(cell.source, names)
        if cell.metadata.get("tags"):
            names.update(parameters)


def runs(work: Path) -> list[str]:
    """The steps that were run, in order."""
    path = work / "runs.txt"
    return path.read_text().split() if path.exists() else []
