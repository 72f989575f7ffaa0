import dataclasses

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import Provenance
from kitlib.cli import main
from kitlib.terms import CELL_NAMES
from kitlib.training import experiments
from kitlib.training.crossval import fold_tasks
from kitlib.training.experiment import Claim
from kitlib.training.experiments import Experiment
from kitlib.training.fold import Sides, run_fold
from kitlib.training.folds import make_folds
from kitlib.training.outcomes import ORACLE_FILE, contained, note_skipped, save_cases
from kitlib.training.splits import deal
from tests.models.builders import make_features, make_labels

CODES = make_labels(12)
FEATURES = make_features(CODES)
LABELS = pd.DataFrame(CODES, index=pd.Index(FEATURES.study_ids, name="study_id"), columns=list(CELL_NAMES))
FOLDS = make_folds(LABELS, 2, seed=0)
GOOD = Experiment("good", "trial", "lightgbm", {"trees": 3, "components": 2}, claimed=Claim(0.91, 0.6))
LEAKING = dataclasses.replace(GOOD, name="good_leaking_series", split="series")
REMOVED = ("without_t1", "random_50")
FILLED = Experiment("pseudo_mean", "trial", "pseudo", {"filler": "mean"}, removals=REMOVED)
BAD = Experiment("bad", "trial", "prior", description="fails")
GONE = Experiment("gone", "trial", "prior", description="has no weights")
LATER = Experiment("later", "trial", "prior")
ENTRIES = (GOOD, LEAKING, FILLED, BAD, GONE, LATER)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """What a grid of six experiments leaves when one fails, one is skipped and one has not been run."""
    work = tmp_path_factory.mktemp("work")
    folder, made = work / "experiments", Provenance()
    for entry in (GOOD, LEAKING, FILLED, BAD):
        dealt = deal(entry.split, FEATURES, LABELS, FOLDS, series_counts=FOLDS * 0 + 3, seed=0)
        facts = {"weights": "resnet50: random", "cases": save_cases(folder, entry.split, dealt.cases, made)}
        codes, fold_of = dealt.labels.to_numpy(np.int8), dealt.folds.to_numpy()
        for task in fold_tasks(entry, "", codes, fold_of, folder, seed=0, facts=facts, keep_model=False):
            with contained(task):
                if entry is BAD:
                    raise ValueError("out of luck")
                run_fold(task, Sides.of(dealt.features, codes, fold_of == task.fold, entry))
    note_skipped(folder / "gone", "no weights for it")
    assert not (folder / ORACLE_FILE).exists()
    return work


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(experiments, "EXPERIMENTS", {entry.name: entry for entry in ENTRIES})


@pytest.fixture
def table(work, tmp_path, capsys):
    arguments = ["--family", "trial", "--profile", "bench", "--work", str(work), "--out", str(tmp_path)]
    assert main(["experiments", "table", *arguments]) == 0
    assert capsys.readouterr().out == f"3 of 6 experiments, 1 failed: table in {tmp_path}\n"
    return tmp_path


def test_the_list_names_all_and_marks_what_leaks(capsys):
    assert main(["experiments", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [entry.name for entry in ENTRIES]
    assert [line.split()[0] for line in lines if " LEAKS " in line] == ["good_leaking_series"]
    assert lines[-1].startswith("6 experiments")


def test_numbers_of_every_experiment_stand_in_the_csv(table):
    results = pd.read_csv(table / "results.csv").set_index("experiment")
    assert results["state"].to_dict() == {
        "good": "done",
        "good_leaking_series": "done",
        "pseudo_mean": "done",
        "bad": "failed",
        "gone": "skipped",
        "later": "not run",
    }
    good, leaking = results.loc["good"], results.loc["good_leaking_series"]
    assert good["low"] <= good["score"] <= good["high"]
    assert good["difference_low"] <= good["difference"] <= good["difference_high"]
    assert (good["claimed_accuracy"], good["claimed_f1"]) == (0.91, 0.6)
    assert (good["rows"], good["shared"], leaking["rows"]) == (12, 0, 36)
    assert leaking["shared"] > 0.5
    assert np.isnan(leaking["low"])
    assert results.loc["bad", "reason"] == "fold 0: ValueError: out of luck"


def test_the_prior_differs_from_itself_by_nothing(table):
    marks = pd.read_csv(table / "marks.csv").set_index("experiment")
    assert marks.loc["prior", ["difference", "difference_low", "difference_high"]].eq(0).all()
    assert marks.loc["1/3", "macro_auc"] == 0.5
    most = (CODES == 0).sum(axis=0) / (CODES >= 0).sum(axis=0)
    assert marks.loc["Normal/Mild everywhere", "accuracy"] == pytest.approx(most.mean())


@pytest.mark.parametrize("name", ["table.md", "table.html"])
def test_people_see_what_leaks_apart_and_what_is_missing(table, name):
    text = (table / name).read_text()
    honest, leaking = text.index("Whole-study folds"), text.index("NOT comparable")
    assert honest < text.index("91.0") < leaking < text.index("good_leaking_series")
    assert "out of luck" in text
    assert "no weights for it" in text
    assert "random_50" in text
    assert "1 of 6 experiments have not been run" in text
    assert "http" not in text.replace("http-equiv", "")


def test_results_on_other_studies_are_not_shown(work, tmp_path):
    path = work / "experiments" / "cases" / "studies.parquet"
    kept = {one: one.read_bytes() for one in (path, path.with_name(path.name + ".json"))}
    cases = LABELS.assign(fold=FOLDS[::-1].to_numpy(), study=LABELS.index, shared=False)
    save_cases(work / "experiments", "studies", cases, Provenance())
    try:
        arguments = ["--family", "trial", "--profile", "bench", "--work", str(work), "--out", str(tmp_path)]
        assert main(["experiments", "table", *arguments]) == 0
        results = pd.read_csv(tmp_path / "results.csv").set_index("experiment")
        assert results.loc["good", ["state", "reason"]].tolist() == [
            "not run",
            "its folds are of other studies or settings",
        ]
    finally:
        for one, content in kept.items():
            one.write_bytes(content)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--family", "trail"], "Did you mean 'trial'?"),
        (["run", "--family", "trail"], "unknown family 'trail'"),
        (["run", "--profile", "demmo"], "Did you mean 'demo'?"),
        (["run", "--family", "trial", "--only", "god"], "Did you mean 'good'?"),
        (["run", "--workers", "0"], "one or more"),
        (["table", "--family", "trial", "--work", "nowhere"], "no experiment has been run here"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message, capsys):
    assert main(["experiments", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_last_line_of_a_run_counts_what_failed(monkeypatch, capsys, tmp_path):
    from kitlib.run import grid

    outcome = grid.Outcome(tmp_path, 7, {"bad": "ValueError: x"}, {"gone": "no weights"})
    monkeypatch.setattr(grid, "run_grid", lambda *_, **__: outcome)
    assert main(["experiments", "run", "--family", "trial"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["skipped gone: no weights", "failed bad: ValueError: x"]
    assert lines[-1] == f"7 fits are done in {tmp_path}; 1 experiments failed, 1 were skipped"
