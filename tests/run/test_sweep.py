"""Sweeps: every combination is a run, shared inputs are made once, and a failure does not affect others."""

import threading

import pytest
from joblib.externals.loky.process_executor import TerminatedWorkerError

from kitlib.errors import UsageError
from kitlib.run import runner, sweep
from kitlib.run.profiles import profile_named
from kitlib.run.steps import STEPS, read_manifest
from kitlib.run.sweep import KILLED, LOG, TABLE, planned, run_sweep, shared_folder
from tests.run.builders import (
    execute_here,
    make_competition,
    make_repository,
    make_step,
    runs,
    write_notebook,
)

NAMES = [step.name for step in STEPS]
SMOKE = profile_named("smoke")
TWO_BY_TWO = {"experiments": "cell_attention,fusion_2", "seed": "1-2"}
DIARY = """
with open(settings.work_dir.parent / "diary.txt", "a") as diary:
    print(settings.work_dir.name, settings.step.number, settings.cache(layout.VOLUMES), file=diary)
"""
WITH_LAYOUT = "from kitlib.run import layout"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A repository whose steps log to a diary, and whose notebooks run in this process."""
    home = make_repository(tmp_path / "home")
    for name in NAMES:
        write_notebook(home, name, make_step(name, WITH_LAYOUT, DIARY))
    monkeypatch.chdir(home)
    monkeypatch.setattr(runner, "execute", execute_here)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    return home


@pytest.fixture
def swept(home, tmp_path):
    """Run a sweep on a competition of tables, run by run; returns its folder, table and diary."""
    data = make_competition(tmp_path / "data")

    def swept(values=TWO_BY_TWO, **how):
        folder, table = run_sweep(
            "smoke", values, data_dir=str(data), work_dir=str(home / "w"), overrides={"workers": 1}, **how
        )
        diary = folder / "diary.txt"
        lines = [line.split(maxsplit=2) for line in diary.read_text().splitlines()]
        diary.unlink()
        return folder, table, lines

    return swept


def test_values_are_lists_and_ranges_of_their_types():
    runs = planned(SMOKE, {"seed": "1-3,7, 01", "calibrate": "temperature any_severe,vector_scaling"})
    assert [one.values["seed"] for one in runs[::2]] == [1, 2, 3, 7]
    assert runs[0].name == "seed-1,calibrate-temperature-any_severe"
    assert runs[0].profile.calibrators == ("temperature", "any_severe")
    assert runs[1].profile.seed == 1
    assert not any("=" in one.name for one in runs)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sed": "1-3"}, "Did you mean 'seed'"),
        ({"seed": "3-1"}, "smaller number first"),
        ({"seed": "one"}, "must be int"),
        ({"experiments": "fusion_2,vitt"}, "vitt"),
        ({"weights": "a/b,a?b"}, "same folder"),
        ({"combine": "mean"}, "combiner"),
        ({"workers": "1,2"}, "sets how a run works"),
        ({"budget_s": "60,600"}, "sets how a run works"),
        ({"experiments": "vit,"}, "a value of experiments is empty"),
        ({"seed": ""}, "a value of seed is empty"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        planned(SMOKE, values)


def test_a_parameter_has_one_value_or_many():
    with pytest.raises(UsageError, match="seed is both fixed and swept"):
        run_sweep("smoke", {"seed": "1-2"}, overrides={"seed": 1})


def test_prepared_data_are_shared_where_nothing_they_depend_on_differs():
    other = SMOKE.with_overrides({"seed": 1, "epochs": 1})
    assert shared_folder(SMOKE, other, phantoms=False) == ""
    assert shared_folder(SMOKE, other, phantoms=True) == "sweep/shared/seed-1"
    smaller = other.with_overrides({"longest_px": 64, "phantom_studies": 9})
    assert shared_folder(SMOKE, smaller, phantoms=False) == "sweep/shared/longest_px-64"


def test_every_combination_is_a_run_and_a_row(swept):
    folder, table, diary = swept()
    names = [f"experiments-{name},seed-{seed}" for name in ("cell_attention", "fusion_2") for seed in (1, 2)]
    assert table[["experiments", "seed"]].to_numpy().tolist()[1:3] == [["cell_attention", 2], ["fusion_2", 1]]
    assert table["score"].tolist() == [0.5] * 4
    assert table["failed"].tolist() == [""] * 4
    assert (folder / TABLE).read_text().splitlines()[0] == "experiments,seed,score,low,high,prior,test,failed"
    for name in names:
        assert runs(folder / name) == NAMES
        assert "submission " in (folder / name / LOG).read_text()
    parameters = read_manifest(folder / names[3], NAMES[3])["parameters"]
    assert (parameters["experiments"], parameters["seed"]) == ("fusion_2", 2)
    # Inputs are made by the first run that reads them, before others begin, and in one place.
    assert [line[:2] for line in diary[:6]] == [[name, step] for name in names[::2] for step in "123"]
    assert {line[2] for line in diary} == {str(folder.parent / "02_preprocessing" / "volumes")}


def test_a_sweep_goes_on_where_it_was(swept, monkeypatch):
    def dying(calls, _workers):
        for function, arguments, keywords in list(calls)[:2]:
            yield function(*arguments, **keywords)
        raise TerminatedWorkerError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "in_processes", dying)
        _, table, _ = swept()
    assert table["failed"].tolist() == ["", "", KILLED, KILLED]
    assert table["score"].notna().tolist() == [True, True, False, False]
    _, table, diary = swept()
    assert table["failed"].tolist() == [""] * 4
    assert {line[0] for line in diary} == {"experiments-fusion_2,seed-1", "experiments-fusion_2,seed-2"}
    assert [line[1] for line in diary] == [*"456", *"123456"]


def test_a_run_that_fails_is_told_and_costs_no_other(swept, home):
    fail = "assert settings.profile.seed != 1, 'not with this seed'"
    write_notebook(home, NAMES[3], make_step(NAMES[3], WITH_LAYOUT, fail, DIARY))
    folder, table, _ = swept({"seed": "1,2"})
    assert table["score"].isna().tolist() == [True, False]
    assert table["failed"].tolist() == ["AssertionError: not with this seed", ""]
    assert "Traceback" in (folder / "seed-1" / LOG).read_text()


def test_where_inputs_cannot_be_made_no_run_begins_on_them_and_each_says_why(swept, home):
    fail = "assert settings.profile.seed != 1, 'not with this seed'"
    write_notebook(home, NAMES[1], make_step(NAMES[1], WITH_LAYOUT, fail, DIARY))
    folder, table, diary = swept({"seed": "1-3"})
    assert table["failed"].tolist() == ["AssertionError: not with this seed", "", ""]
    assert table["score"].isna().tolist() == [True, False, False]
    assert runs(folder / "seed-1") == NAMES[:2]  # tried once, and not again beside others
    assert [line[:2] for line in diary[:4]] == [["seed-1", "1"], *(["seed-2", step] for step in "123")]


def test_a_sweep_of_later_steps_makes_no_inputs(swept):
    swept(last=3)
    _, table, diary = swept(first=4)
    assert table["failed"].tolist() == [""] * 4
    assert {line[1] for line in diary} == set("456")
