import os
import threading

import pandas as pd
import pytest

from kitlib.errors import RootError, StepError, UsageError
from kitlib.run import runner
from kitlib.run.data import sole_run
from kitlib.run.runner import run, score_lines
from kitlib.run.steps import STEPS, read_manifest
from tests.run.builders import (
    FINISH,
    execute_here,
    make_competition,
    make_repository,
    make_step,
    runs,
    write_notebook,
)

NAMES = [step.name for step in STEPS]


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = make_repository(tmp_path / "home")
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def work(home):
    return home / "work" / "smoke"


@pytest.fixture
def again(work, tmp_path):
    """Run the steps again; returns those that really ran."""
    data = make_competition(tmp_path / "data")

    def again(**keywords):
        before = len(runs(work))
        run("smoke", data_dir=str(data), **keywords)
        return runs(work)[before:]

    return again


@pytest.fixture
def without_kernels(monkeypatch):
    monkeypatch.setattr(runner, "execute", execute_here)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)


@pytest.mark.usefixtures("without_kernels")  # with them: tests/test_notebooks.py
def test_six_notebooks_end_with_a_score_and_a_submission(again, home, work, capsys):
    assert again() == NAMES
    output = capsys.readouterr().out
    copied = home / "submissions" / "submission.csv"
    assert "cross-validated  0.5000  (0.4000 to 0.6000)" in output
    assert f"submission       {copied}" in output
    assert copied.read_bytes() == (work / "06_submission" / "submission.csv").read_bytes()


@pytest.mark.usefixtures("without_kernels")
def test_steps_run_once_and_then_only_what_has_changed(again, home, work, capsys):
    assert again() == NAMES
    assert again() == []
    assert "06_submission is unchanged since" in capsys.readouterr().out

    # A changed result of step 2 reruns the steps that read it, and further ones only if their results change.
    write_notebook(home, NAMES[1], make_step(NAMES[1], text="other"))
    assert again() == NAMES[1:5]

    (work / NAMES[4] / "result.txt").unlink()
    assert again() == [NAMES[4]]

    write_notebook(home, NAMES[5], make_step(NAMES[5], "a = 1"))
    assert again(last=5) == []
    assert again(first=6) == [NAMES[5]]
    assert again(first=1, last=1, force=True) == [NAMES[0]]


@pytest.mark.usefixtures("without_kernels")
def test_parameters_and_data_are_part_of_what_a_step_depends_on(again, work, tmp_path):
    first = {"first": 1, "last": 1}
    assert again(**first) == NAMES[:1]
    assert again(**first, overrides={"epochs": "007"}) == NAMES[:1]
    assert again(**first, overrides={"epochs": 7}) == []
    assert again(**first, overrides={"epochs": 7, "workers": 1}) == []
    (tmp_path / "data" / "more.csv").touch()
    assert again(**first, overrides={"epochs": 7}) == NAMES[:1]
    assert read_manifest(work, NAMES[0])["parameters"]["epochs"] == 7


@pytest.mark.usefixtures("without_kernels")
def test_that_there_is_no_test_study_is_known_before_the_first_step(work, tmp_path):
    data = make_competition(tmp_path / "data")
    table = data / "sample_submission.csv"
    table.write_text(table.read_text().splitlines()[0] + "\n")  # as with phantoms without test studies
    with pytest.raises(RootError, match=r"no test study.*--to 5.*--test-studies"):
        run("smoke", data_dir=str(data))
    assert runs(work) == []
    run("smoke", data_dir=str(data), last=5)
    assert runs(work) == NAMES[:5]


@pytest.mark.usefixtures("without_kernels")
def test_a_second_run_in_a_work_folder_is_refused(again, work):
    with sole_run(work), pytest.raises(StepError, match=f"process {os.getpid()}, is using"):
        again()
    assert runs(work) == []


@pytest.mark.usefixtures("without_kernels")
def test_in_a_work_folder_of_ones_own_nothing_is_copied(home, tmp_path):
    run("smoke", data_dir=str(make_competition(tmp_path / "data")), work_dir=str(tmp_path / "own"))
    assert not list((home / "submissions").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cells", "finish", "message"),
    [
        ((), "done = 1", "did not end with finish"),
        (("from threading import Thread", "a = Thread(target=int, args='x'); a.start(); a.join()"),
         FINISH, "ended a thread"),
        (("epochz = 3", "settings = begin('01_eda', {'epochz': 3})"), FINISH, "unknown parameter 'epochz'"),
    ],
)  # fmt: skip
def test_a_step_that_papermill_calls_a_success_fails(again, home, work, cells, finish, message):
    write_notebook(home, NAMES[0], make_step(NAMES[0], *cells, finish=finish))
    with pytest.raises(StepError, match=message):
        again()
    assert runs(work) == NAMES[:1]
    assert read_manifest(work, NAMES[0]) is None


def test_a_mistyped_parameter_stops_before_anything_runs(again, work):
    with pytest.raises(UsageError, match="unknown parameter 'epoch'"):
        again(overrides={"epoch": 3})
    with pytest.raises(UsageError, match="no step from 7"):
        again(first=7)
    assert runs(work) == []


def test_scores_are_shown_beside_oracle_prior_and_thirds():
    rows = [("blend", 0.5, 0.4, 0.6), ("prior", 0.8, 0.7, 0.9), ("oracle", 0.3, 0.2, 0.4)]
    table = pd.DataFrame(rows, columns=["prediction", "total", "low", "high"])
    assert score_lines(table) == [
        "oracle           0.3000  (0.2000 to 0.4000)",
        "prior, no image  0.8000  (0.7000 to 0.9000)",
    ]
