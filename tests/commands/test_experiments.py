import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

from kitlib.cli import main
from kitlib.experiments import registry as experiments
from kitlib.experiments.experiment import About, Experiment, Protocol, PublishedResult
from kitlib.experiments.fold import FoldData, FoldTask
from kitlib.experiments.leaks import make_split, row_table
from kitlib.experiments.parallel import run_group
from kitlib.experiments.run import fold_tasks, make_folds
from kitlib.experiments.status import (
    BEGUN,
    ORACLE_FILE,
    RunKey,
    begin_run,
    record,
    record_skipped,
    rows_path,
)
from kitlib.models.blind import PriorModel
from kitlib.models.boosting import LightGBMModel
from kitlib.models.pseudo.model import PseudoModel
from kitlib.run.profiles import profile_named
from kitlib.terms import CELL_NAMES
from tests.models.builders import make_features, make_labels

CODES = make_labels(12)
FEATURES = make_features(CODES)
LABELS = pd.DataFrame(CODES, index=pd.Index(FEATURES.study_ids, name="study_id"), columns=list(CELL_NAMES))
FOLDS = make_folds(LABELS, 2, seed=0)
TRIAL = About(tags=("trial",))


class Unlucky(PriorModel):
    def _fit(self, *_):
        raise ValueError("out of luck")


BAD = Experiment("bad", Unlucky(), about=TRIAL)
GOOD = Experiment(
    "good",
    LightGBMModel(trees=3, components=2),
    about=dataclasses.replace(TRIAL, published=PublishedResult(0.91, 0.6)),
)
LEAKING = Experiment(
    "good_leaking_series",
    GOOD.model,
    protocol=Protocol("series"),
    about=dataclasses.replace(GOOD.about, twin_of="good"),
)
SCENARIOS = ("without_t1", "random_50")
FILLED = Experiment(
    "pseudo_mean", PseudoModel(imputer="mean"), protocol=Protocol(missing=SCENARIOS), about=TRIAL
)
GONE, LATER = (Experiment(name, PriorModel(), about=TRIAL) for name in ("gone", "later"))
ENTRIES = (GOOD, LEAKING, FILLED, BAD, GONE, LATER)
HERE = RunKey("these", profile_named("bench").results())
ELSEWHERE = dataclasses.replace(HERE, data="others")
OTHERWISE = dataclasses.replace(HERE, settings={**HERE.settings, "longest_px": 1})


def begin(folder, key, command="the run", unreadable=0):
    rows = row_table(LABELS, FOLDS, LABELS.index.to_series())
    begin_run(folder, rows, key, command=command, unreadable=unreadable)


def run(folder, key, entries):
    """A run of a grid, one of whose experiments fails."""
    begin(folder, key)
    for entry in entries:
        name = entry.protocol.split
        split = make_split(name, FEATURES, LABELS, FOLDS, series_counts=FOLDS * 0 + 3, seed=0)
        if entry.leaks:
            key.save(rows_path(folder, name), row_table(split.labels, split.folds, split.study_of))
        facts = {"weights": "resnet50: random", **key.facts}
        for task in fold_tasks(entry, split, folder, seed=0, facts=facts, keep_model=False):
            run_group([task], FoldData.of(split, task.fold, entry))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The results of a grid of six experiments, of which one failed, one was skipped and one was not run."""
    work = tmp_path_factory.mktemp("work")
    folder = work / "experiments"
    run(folder, HERE, (GOOD, LEAKING, FILLED, BAD))
    record_skipped(folder / "gone", "no weights for it")
    assert not (folder / ORACLE_FILE).exists()
    return work


@pytest.fixture
def work(finished, tmp_path):
    """A copy of it that tests may change."""
    return shutil.copytree(finished, tmp_path / "work")


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(experiments, "EXPERIMENTS", {entry.name: entry for entry in ENTRIES})


def tabulate(work, out):
    """Run the command `table`; returns its rows by experiment."""
    arguments = ["--family", "trial", "--profile", "bench", "--work", str(work), "--out", str(out)]
    assert main(["experiments", "table", *arguments]) == 0
    return pd.read_csv(out / "results.csv", keep_default_na=False, na_values="").set_index("experiment")


@pytest.fixture(scope="module")
def table(finished, tmp_path_factory):
    out = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "EXPERIMENTS", {entry.name: entry for entry in ENTRIES})
        tabulate(finished, out)
    return out


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
        "blend": "done",
    }
    good, leaking = results.loc["good"], results.loc["good_leaking_series"]
    assert good["low"] <= good["score"] <= good["high"]
    assert good["difference_low"] <= good["difference"] <= good["difference_high"]
    assert (good["published_accuracy"], good["published_f1"]) == (0.91, 0.6)
    assert (good["rows"], good["shared"], leaking["rows"]) == (12, 0, 36)
    assert leaking["shared"] > 0.5
    assert np.isnan(leaking["low"])
    assert results.loc["bad", "reason"] == "fold0: ValueError: out of luck"


def test_the_blend_of_what_does_not_leak_is_the_last_row(table):
    results = pd.read_csv(table / "results.csv").set_index("experiment")
    assert results.index[-1] == "blend"
    assert results.loc["blend", "low"] <= results.loc["blend", "score"] <= results.loc["blend", "high"]
    people = (table / "table.md").read_text()
    (last,) = (line for line in people.splitlines() if line.startswith("| blend "))
    assert people[people.index(last) :].splitlines()[1] == ""  # the end of its table


def test_the_dated_page_holds_what_is_done_with_its_commands(finished, tmp_path):
    arguments = ["--family", "trial", "--profile", "bench", "--work", str(finished), "--out", str(tmp_path)]
    assert main(["experiments", "table", *arguments, "--results", str(tmp_path / "results")]) == 0
    text = (tmp_path / "results" / "published_systems.md").read_text()
    assert "| made by | `the run`, `python -m kitlib experiments table" in text
    assert "| data | 12 studies |" in text
    rows = pd.read_csv(tmp_path / "results" / "published_systems.csv").set_index("experiment")
    assert rows.index.tolist() == ["good", "good_leaking_series", "pseudo_mean", "blend"]
    good = rows.loc["good"]
    assert f"{good['score']:.3f} ({good['low']:.3f} to {good['high']:.3f})" in text
    assert text.index("| `gone` |") < text.index("no weights for it") < text.index("| `blend` |")
    assert (tmp_path / "results" / "published_systems_leaks.png").stat().st_size > 1000
    filled = (tmp_path / "results" / "missing_sequences.md").read_text()
    assert "| made by | `the run`, `python -m kitlib experiments table" in filled
    assert "| 50% at random |" in filled
    assert "random_50" not in text
    assert (tmp_path / "results" / "missing_sequences.csv").read_text().count("the mean itself") == 3


def test_the_prior_differs_from_itself_by_nothing(table):
    baselines = pd.read_csv(table / "baselines.csv").set_index("experiment")
    assert baselines.loc["prior", ["difference", "difference_low", "difference_high"]].eq(0).all()
    assert baselines.loc["1/3", "macro_auc"] == 0.5
    most = (CODES == 0).sum(axis=0) / (CODES >= 0).sum(axis=0)
    assert baselines.loc["Normal/Mild everywhere", "accuracy"] == pytest.approx(most.mean())


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


def test_the_last_line_says_how_many_are_done(work, tmp_path, capsys):
    tabulate(work, tmp_path)
    assert capsys.readouterr().out == f"3 of 6 experiments done, 1 failed: table in {tmp_path}\n"


def test_what_was_made_on_other_data_is_not_shown(work, tmp_path):
    """Fits, failures, the oracle and rows of leaking splits that were made on other data."""
    folder = work / "experiments"
    HERE.save(folder / ORACLE_FILE, pd.DataFrame({"of": ["other data"]}))
    run(folder, ELSEWHERE, [FILLED])
    results = tabulate(work, tmp_path)
    assert results.loc["pseudo_mean", "state"] == "done"
    for name in ("good", "good_leaking_series", "bad"):
        assert results.loc[name, ["state", "reason"]].tolist() == ["not run", "made on other data"]
    assert pd.isna(results.loc["later", "reason"])
    assert "oracle" not in pd.read_csv(tmp_path / "baselines.csv")["experiment"].tolist()
    assert "| good | not run | made on other data |" in (tmp_path / "table.md").read_text()


def test_what_was_made_with_other_settings_is_not_shown(work, tmp_path):
    run(work / "experiments", OTHERWISE, [GOOD])
    begin(work / "experiments", HERE)
    results = tabulate(work, tmp_path)
    assert results.loc["good", ["state", "reason"]].tolist() == ["not run", "made with other settings"]
    assert results.loc["pseudo_mean", "state"] == "done"


def test_what_other_code_has_made_is_not_shown(work, tmp_path, monkeypatch):
    code = Experiment.code.fget
    monkeypatch.setattr(
        Experiment, "code", property(lambda self: "new" if self.name == "good" else code(self))
    )
    results = tabulate(work, tmp_path)
    assert results.loc["good", ["state", "reason"]].tolist() == [
        "not run",
        "made by other code: run it again",
    ]
    assert results.loc["pseudo_mean", "state"] == "done"


@pytest.mark.slow
@pytest.mark.parametrize("file", ["oof.parquet", "oof_random_50.parquet", "reconstruction.parquet"])
@pytest.mark.parametrize("harm", ["cut", "missing", "altered"])
def test_a_damaged_file_costs_its_own_experiment_alone(work, tmp_path, file, harm):
    path = work / "experiments" / "pseudo_mean" / "fold1" / file
    content = path.read_bytes()
    path.write_bytes({"cut": content[:9], "missing": b"", "altered": content[::-1]}[harm])
    if harm == "missing":
        path.unlink()
    results = tabulate(work, tmp_path)
    assert results.loc["pseudo_mean", "state"] == "not ended"
    assert results.loc["pseudo_mean", "reason"].startswith(f"fold1: {file}: the file ")
    assert results.loc["good", "state"] == "done"
    assert "1 of 6 experiments have not finished" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
def test_a_fit_that_is_under_way_has_not_failed(work, tmp_path):
    folder = work / "experiments" / "later" / "fold0"
    record(FoldTask(LATER, 0, folder, "", 0, HERE.facts), BEGUN)
    results = tabulate(work, tmp_path)
    assert results.loc["later", "state"] == "not ended"
    assert "have not finished: a run is in progress" in (tmp_path / "table.md").read_text()


def test_a_table_of_a_profile_that_was_not_run_last_is_refused(work, capsys):
    begin(work / "experiments", OTHERWISE)
    arguments = ["--family", "trial", "--profile", "bench", "--work", str(work)]
    assert main(["experiments", "table", *arguments]) == 2
    error = capsys.readouterr().err
    assert "the last run here did not use the settings of 'bench'" in error
    assert f"Run `python -m kitlib experiments run {' '.join(arguments)}`." in error


@pytest.mark.slow
def test_the_table_says_how_many_studies_could_not_be_read(work, tmp_path):
    tabulate(work, tmp_path)
    assert "12 studies, " in (tmp_path / "table.md").read_text()
    begin(work / "experiments", HERE, unreadable=2)
    tabulate(work, tmp_path)
    for name in ("table.md", "table.html"):
        assert "12 studies (2 without a readable series), " in (tmp_path / name).read_text()


def test_the_table_names_the_commands_that_made_it(work, tmp_path):
    begin(work / "experiments", HERE, "a run of some")
    tabulate(work, tmp_path)
    made = (tmp_path / "table.md").read_text()
    command = (
        "python -m kitlib experiments table --family trial --profile bench"  # its folder differs elsewhere
    )
    assert f"Made by `the run`, `a run of some`, `{command}`." in made
    for more in ("the run --only a b", "the run --only b c"):
        begin(work / "experiments", HERE, more)
    tabulate(work, tmp_path)
    made = (tmp_path / "table.md").read_text()
    assert "`the run`, `a run of some`, `the run --only a b c`, `python" in made
    begin(work / "experiments", ELSEWHERE, "a run on others")
    assert "done" not in tabulate(work, tmp_path)["state"].tolist()
    assert "Made by `a run on others`, `python" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--family", "trail"], "Did you mean 'trial'?"),
        (["run", "--family", "trail"], "unknown family 'trail'"),
        (["run", "--profile", "demmo"], "Did you mean 'demo'?"),
        (["run", "--family", "trial", "--only", "god"], "Did you mean 'good'?"),
        (["run", "--workers", "0"], "at least 1"),
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
    asked = {}
    monkeypatch.setattr(grid, "run_grid", lambda *_, **options: asked.update(options) or outcome)
    options = ["--family", "trial", "--profile", "demo", "--data", "a folder", "--only", "bad", "gone"]
    assert main(["experiments", "run", *options]) == 1
    options = "--family trial --profile demo --data DIR --only bad gone"  # no local path
    assert asked["command"] == f"python -m kitlib experiments run {options}"
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["skipped gone: no weights", "failed bad: ValueError: x"]
    assert lines[-1] == f"7 fits done in {tmp_path}; 1 experiments failed, 1 were skipped"


def test_a_run_in_which_nothing_failed_ends_well(monkeypatch, tmp_path):
    from kitlib.run import grid

    outcome = grid.Outcome(tmp_path, 7, {}, {"gone": "no weights"})
    asked = {}
    monkeypatch.setattr(grid, "run_grid", lambda *_, **options: asked.update(options) or outcome)
    assert main(["experiments", "run", "--family", "trial", "--only", "good", "--only", "bad", "gone"]) == 0
    assert asked["only"] == ["good", "bad", "gone"]


def test_the_old_name_of_the_published_family_is_understood_with_a_word(monkeypatch, capsys, tmp_path):
    from kitlib.run import grid

    asked = []
    monkeypatch.setattr(
        grid, "run_grid", lambda _, family, **__: asked.append(family) or grid.Outcome(tmp_path, 0)
    )
    assert main(["experiments", "run", "--family", "seeds"]) == 0
    assert asked == ["published"]
    assert "--family seeds is now called --family published" in capsys.readouterr().err
