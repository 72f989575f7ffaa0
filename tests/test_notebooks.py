"""The notebooks: how each is built, and one run of all six on the smoke profile."""

import ast
import json
import re
import statistics
from pathlib import Path

import pandas as pd
import pytest

from kitlib.artefacts import load_table
from kitlib.competition.root import Competition
from kitlib.competition.submission import validate_submission
from kitlib.run import layout
from kitlib.run.runner import run
from kitlib.run.steps import CHAPTERS, STEPS, done

HOME = Path(__file__).parents[1]
PATHS = [HOME / "notebooks" / step.notebook for step in STEPS]
PARAMETERS = {"profile", "data_dir", "work_dir"}


def source(cell):
    return "".join(cell["source"])


class Notebook:
    def __init__(self, path):
        content = json.loads(path.read_text(encoding="utf-8"))
        self.metadata, self.cells = content["metadata"], content["cells"]
        self.code = [cell for cell in self.cells if cell["cell_type"] == "code"]
        self.prose = [source(cell) for cell in self.cells if cell["cell_type"] == "markdown"]
        self.sizes = sorted(
            sum(bool(line.strip()) for line in source(cell).splitlines()) for cell in self.code
        )


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return Notebook(path)


def test_there_is_a_notebook_for_every_step_and_chapter_and_no_other():
    found = {path.name for path in (HOME / "notebooks").glob("*.ipynb")}
    assert found == {step.notebook for step in (*STEPS, *CHAPTERS)}


def test_kaggle_and_papermill_can_run_it(notebook):
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    assert notebook.metadata["language_info"]["name"] == "python"
    assert len({cell["id"] for cell in notebook.cells}) == len(notebook.cells)


def test_nothing_of_a_run_is_kept(notebook):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in notebook.code)


def test_it_says_first_what_it_is_for(notebook, path):
    first = source(notebook.cells[0])
    assert first.startswith(f"# {int(path.stem[:2])} · ")
    for word in ("**Purpose.**", "**Reads**", "**Writes**", "**Time and memory**"):
        assert word in first


def test_its_parameters_are_the_three_of_every_notebook(notebook):
    tagged = [cell for cell in notebook.code if "parameters" in cell["metadata"].get("tags", [])]
    assert tagged == notebook.code[:1]
    names = [node.targets[0].id for node in ast.parse(source(tagged[0])).body]
    assert set(names) == PARAMETERS


def test_it_begins_and_finishes(notebook, path):
    assert f'settings = begin("{path.stem}", globals())' in source(notebook.code[1])
    assert source(notebook.code[-1]).strip() == "finish(settings)"


@pytest.mark.parametrize("step", [*STEPS, *CHAPTERS], ids=lambda step: step.name)
def test_it_needs_files_of_those_steps_alone_that_it_is_said_to_read(step):
    """Only these are attached to its kernel on Kaggle, and run before it if missing."""
    code = "".join(source(cell) for cell in Notebook(HOME / "notebooks" / step.notebook).code)
    needed = {getattr(layout, name).step for name in re.findall(r"need\(layout\.(\w+)", code)}
    assert needed <= set(step.reads)


def test_it_points_to_the_next_one(notebook, path):
    following = PATHS[PATHS.index(path) + 1 :]
    assert not following or f"`{following[0].name}`" in notebook.prose[-1]


def test_it_is_plain_python(notebook):
    for cell in notebook.code:
        for node in ast.walk(ast.parse(source(cell))):  # a ! or % command does not parse
            assert not isinstance(node, ast.FunctionDef) or node.end_lineno - node.lineno < 10


def test_its_cells_are_short_and_its_prose_is_not(notebook):
    assert statistics.median(notebook.sizes) <= 6
    assert notebook.sizes[int(0.9 * len(notebook.sizes))] <= 18
    assert notebook.sizes[-1] <= 30
    assert sum(len(text.split()) for text in notebook.prose) >= 3 * sum(notebook.sizes)


def printed(work, step):
    """All text that an executed notebook printed; no cell may have warned."""
    cells = json.loads((work / "executed" / step.notebook).read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    text = "".join(
        source({"source": output["text"]}) for output in outputs if output["output_type"] == "stream"
    )
    assert "Warning" not in text
    return text


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The work folder of a finished run of all six notebooks.

    They use one process: work in other processes is tested elsewhere, and each of those would
    import torch anew for four phantoms.
    """
    patch = pytest.MonkeyPatch()
    patch.chdir(HOME)
    yield run("smoke", work_dir=str(tmp_path_factory.mktemp("smoke")), overrides={"workers": 1})
    patch.undo()


@pytest.mark.slow
def test_all_six_run_and_say_that_their_data_are_phantoms(work):
    for step in STEPS:
        assert "claim on phantoms" in printed(work, step)
        assert done(work, step.name)


@pytest.mark.slow
def test_where_nobody_sits_a_study_is_viewed_as_one_figure(work):
    cells = json.loads((work / "executed" / "06_submission.ipynb").read_text(encoding="utf-8"))["cells"]
    (viewed,) = (cell for cell in cells if source(cell) == "view(study, predictor)")
    assert ["image/png" in output["data"] for output in viewed["outputs"]] == [True]
    assert "widget" not in json.dumps(viewed["outputs"])


@pytest.mark.slow
def test_the_submission_is_complete_and_made_by_the_full_model(work):
    phantoms = Competition(work / "phantoms")
    validate_submission(work / "06_submission" / "submission.csv", phantoms.test_study_ids())
    rungs = set(load_table(work / "06_submission" / "predictions.parquet")["rung"])
    assert {"full model"} <= rungs <= {"full model", "fewer views", "places in doubt"}


@pytest.mark.slow
def test_the_scores_stand_beside_the_prior_and_a_third(work):
    scores = load_table(work / "05_ensembling" / "scores.parquet").set_index("prediction")
    assert {"calibrated blend", "blend", "prior", "1/3"} < set(scores.index)
    assert scores["total"].between(scores["low"], scores["high"]).all()


@pytest.mark.slow
def test_every_figure_and_table_is_written(work):
    for step, least in zip(STEPS, (8, 4, 2, 5, 4, 2), strict=True):
        assert len(list((work / step.name / "figures").glob("*.png"))) >= least


@pytest.mark.slow
def test_a_second_run_skips_all_six(work, monkeypatch, capsys):
    monkeypatch.chdir(HOME)
    run("smoke", work_dir=str(work))
    assert capsys.readouterr().out.count("skipped") == len(STEPS)


@pytest.mark.slow
def test_exploring_needs_no_image(real_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(HOME)
    work = run("demo", data_dir=str(real_dir / "tables"), work_dir=str(tmp_path), first=1, last=1)
    text = printed(work, STEPS[0])
    assert "There is no image in this folder" in text
    assert "572 of 49,375 cells are empty" in text
    assert "prior 0.7900" in text
    assert "claim on phantoms" not in text
    baselines = pd.read_parquet(work / "01_eda" / "tables" / "baselines.parquet")["total"]
    assert baselines["1/3"] == pytest.approx(0.9994, abs=5e-5)
