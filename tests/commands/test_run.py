import shutil

import pandas as pd
import pytest

from kitlib.artefacts import save_table
from kitlib.cli import main
from kitlib.evaluate.baselines import score_table, uniform
from kitlib.run import layout
from kitlib.terms import CELL_NAMES
from tests.models.builders import make_labels
from tests.run.finished import MADE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--profile", "demmo"], "Did you mean 'demo'?"),
        (["run", "-p", "epochs"], "'epochs' is not NAME=VALUE"),
        (["run", "-p", "epochz=3"], "unknown parameter 'epochz'"),
        (["run", "--only", "9"], "no step from 9 to 9"),
        (["run", "--data", "nowhere"], "the folder does not exist"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--results", "--pages"])
def test_a_file_where_a_folder_should_be_written_is_said_before_any_work(
    monkeypatch, tmp_path, capsys, option
):
    monkeypatch.setattr("kitlib.run.runner.run", lambda *_, **__: pytest.fail("begun"))
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main(["run", option, str(out)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("[system] a file is in the place of a folder (")
        assert str(tmp_path / "file") in error


def test_the_scores_of_a_run_become_a_dated_page(monkeypatch, work, tmp_path, capsys):
    scored = shutil.copytree(work, tmp_path / "work")
    labels = pd.DataFrame(make_labels(6), index=range(6), columns=list(CELL_NAMES))
    rows = {"prior": uniform(labels.index), "mine": uniform(labels.index)}
    save_table(layout.SCORES.under(scored), score_table(labels, rows, against="prior"), MADE)
    monkeypatch.setattr("kitlib.run.runner.run", lambda *_, **__: scored)
    out = tmp_path / "results"
    assert main(["run", "--profile", "smoke", "-p", "epochs=2", "--results", str(out)]) == 0
    page = (out / "smoke.md").read_text()
    assert "| made by | `python -m kitlib run --profile smoke -p epochs=2` |" in page
    assert "6 studies in 2 folds of whole studies" in page
    assert "resnet10t, weights random" in page
    assert "| mine | " in page
    assert str(tmp_path) not in page
    assert f"results in {out / 'smoke.md'}" in capsys.readouterr().out


def test_the_page_about_a_run_is_written_beside_it_or_where_it_is_wanted(work, tmp_path, capsys):
    run = shutil.copytree(work, tmp_path / "work")
    assert main(["report", "--work", str(run)]) == 0
    assert (run / "report.html").read_text().endswith("</html>\n")
    assert main(["report", "--work", str(run), "--out", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"report in {tmp_path / 'page.html'}"
    assert main(["report", "--work", str(run), "--out", str(tmp_path / "page.pdf")]) == 2
    assert "ends in .html" in capsys.readouterr().err
    assert main(["report", "--work", str(tmp_path / "nowhere")]) == 2
    assert "no step of a run is done here" in capsys.readouterr().err


def test_a_sweep_ends_with_its_table_and_says_what_failed(monkeypatch, tmp_path, capsys):
    rows = {
        "seed": [1, 2],
        "score": [0.5, None],
        "prior": [0.8, None],
        "failed": ["", "[step] a cell failed"],
    }
    asked = {}

    def run_sweep(profile, swept, **how):
        asked.update(how, profile=profile, swept=swept)
        return tmp_path, pd.DataFrame(rows)

    monkeypatch.setattr("kitlib.run.sweep.run_sweep", run_sweep)
    assert main(["run", "--profile", "smoke", "-p", "epochs=2", "--sweep", "seed=1-2", "--to", "5"]) == 1
    assert (asked["swept"], asked["overrides"], asked["last"]) == ({"seed": "1-2"}, {"epochs": "2"}, 5)
    output = capsys.readouterr().out
    assert "0.5000 0.8000" in output
    assert "failed seed 2: [step] a cell failed" in output
    assert f"1 of 2 runs are done: table in {tmp_path / 'scores.csv'}" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep", "seed"], "is not NAME=VALUE"),
        (["--sweep", "seed=1", "--sweep", "seed=2"], "swept twice"),
        (["--sweep", "seed=1-2", "--pages", "pages"], "need a single run"),
        (["--sweep", "sed=1-2"], "Did you mean 'seed'"),
        (["--cluster", "nowhere"], "tcp://HOST:PORT or local:N"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_said_before_any_work(arguments, message, capsys):
    assert main(["run", "--profile", "smoke", *arguments]) == 2
    assert message in capsys.readouterr().err
