import socket
import threading
import types

import pytest

from kitlib.errors import RootError, StepError, UsageError
from kitlib.machine import cores
from kitlib.run import layout
from kitlib.run import settings as module
from kitlib.run.layout import File
from kitlib.run.settings import begin, finish
from kitlib.run.steps import manifest_path, outputs_fingerprint, read_manifest, write_manifest
from tests.run.builders import make_competition, make_notebook, make_repository, runs, write_notebook

IPYTHON = {
    "In": [],
    "Out": {},
    "_": 1,
    "_i1": "x",
    "exit": print,
    "types": types,
    "SEQUENCES": (1,),
    "Path": type,
    "__name__": "m",
}


@pytest.fixture
def names(tmp_path):
    """A notebook's globals in its second cell."""
    data = make_competition(tmp_path / "data")
    return {**IPYTHON, "profile": "smoke", "data_dir": str(data), "work_dir": str(tmp_path / "work")}


@pytest.fixture(autouse=True)
def restored_hook(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    yield
    module.thread_failures.clear()


def test_settings_know_profile_data_and_folders(names, tmp_path):
    settings = begin("01_eda", names)
    assert settings.profile.name == "smoke"
    assert settings.competition.test_study_ids() == [11, 12]
    assert settings.own_folder == tmp_path / "work" / "01_eda"
    assert settings.own_folder.is_dir()
    assert not settings.is_phantom
    with pytest.raises(UsageError, match="01_eda"):
        begin("01_ada", names)


def test_parameters_override_the_profile_by_name(names):
    assert begin("01_eda", {**names, "epochs": "2"}).profile.epochs == 2


@pytest.mark.parametrize(
    "extra", [{"epoch": 3}, {"dta_dir": ""}, {"table": [1]}, {"EPOCHS": 3}, {"data_dir": 5}]
)
def test_an_unknown_name_stops_the_notebook(names, extra):
    with pytest.raises(UsageError, match=next(iter(extra))):
        begin("01_eda", {**names, **extra})


def test_the_cell_can_be_run_again_among_later_variables(names):
    settings = begin("01_eda", names)
    later = {**names, "settings": settings, "table": [1], "folds": {"a": 1}, "epochs": 4}
    again = begin("01_eda", {**later, "profile": settings.profile}).profile
    assert (again.name, again.epochs) == ("smoke", 4)


def test_a_folder_that_is_no_competition_is_refused(names, tmp_path):
    with pytest.raises(RootError, match="does not exist"):
        begin("01_eda", {**names, "data_dir": str(tmp_path / "nowhere")})


def test_the_competition_profile_asks_for_the_competition(names):
    with pytest.raises(RootError):
        begin("01_eda", {**names, "profile": "kaggle", "data_dir": ""})


def test_an_earlier_file_is_found_or_named(names):
    settings = begin("01_eda", names)
    with pytest.raises(StepError, match=r"'series.parquet' from 02_preprocessing.*Run 02_preproc.* first"):
        settings.need(layout.SERIES)
    path = layout.SERIES.under(settings.work_dir)
    path.parent.mkdir()
    path.touch()
    assert settings.need(layout.SERIES) == settings.own(layout.SERIES) == path
    with pytest.raises(StepError, match=r"'svc/oof.parquet' from 04_modelling"):
        settings.need(layout.OOF, experiment="svc")


def test_finish_writes_what_was_made(names, tmp_path):
    settings = begin("01_eda", names)
    (settings.own_folder / "a.txt").write_text("abc")
    finish(settings)
    manifest = read_manifest(tmp_path / "work", "01_eda")
    assert manifest["outputs"]["a.txt"]["bytes"] == 3
    assert manifest["parameters"]["phantom_size"] == "smoke"
    assert manifest["peak_memory_mb"] > 0
    assert manifest["data"] == {"name": settings.competition.root.name, "is_phantom": settings.is_phantom}
    assert int(manifest["machine"]["cores"]) == cores()


def test_a_step_begun_is_not_done_until_it_is_finished(names, tmp_path):
    finish(begin("01_eda", names))
    begin("01_eda", names)
    assert not manifest_path(tmp_path / "work", "01_eda").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_in_a_thread_fails_the_step(names, tmp_path):
    settings = begin("01_eda", names)
    begin("01_eda", names)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert len(module.thread_failures) == 1
    with pytest.raises(StepError, match="ended a thread: ZeroDivisionError"):
        finish(settings)
    assert not manifest_path(tmp_path / "work", "01_eda").exists()


@pytest.mark.slow
def test_earlier_steps_are_run_first_where_their_notebooks_are(names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(make_repository(tmp_path / "home") / "notebooks")
    settings = begin("03_embeddings", {**names, "epochs": 2})
    assert runs(tmp_path / "work") == ["02_preprocessing"]
    output = capsys.readouterr().out
    assert "running first: 02_preprocessing" in output
    assert "02_preprocessing took" in output
    assert settings.need(File("02_preprocessing", "result.txt")).read_text() == "done"
    finish(settings)
    manifest = read_manifest(tmp_path / "work", "03_embeddings")
    assert manifest["inputs"] == {
        "02_preprocessing": outputs_fingerprint(tmp_path / "work", "02_preprocessing")
    }


@pytest.mark.slow
def test_an_earlier_step_that_fails_says_why(names, tmp_path, monkeypatch):
    home = make_repository(tmp_path / "home")
    write_notebook(home, "02_preprocessing", make_notebook("1 / 0"))
    monkeypatch.chdir(home)
    with pytest.raises(StepError, match=r"an earlier step failed.*ZeroDivisionError"):
        begin("03_embeddings", names)


def test_without_notebooks_a_missing_step_says_what_to_attach(names, monkeypatch):
    monkeypatch.setattr(module.data, "repository", lambda: None)
    with pytest.raises(StepError, match=r"reads results of 02_preprocessing.*Attach"):
        begin("03_embeddings", names)


def test_on_kaggle_results_of_attached_kernels_count_and_caches_stay_outside(names, tmp_path, monkeypatch):
    attached = tmp_path / "input" / "notebooks" / "someone" / "second"
    (attached / "02_preprocessing").mkdir(parents=True)
    (attached / "02_preprocessing" / "series.parquet").touch()
    write_manifest(attached, "02_preprocessing", {"outputs": {"series.parquet": {"bytes": 0}}})
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setattr("kitlib.run.data.KAGGLE_INPUT", tmp_path / "input")
    settings = begin("03_embeddings", names)
    assert settings.need(layout.SERIES).parents[1] == attached
    finish(settings)
    inputs = read_manifest(settings.work_dir, "03_embeddings")["inputs"]
    assert inputs == {"02_preprocessing": outputs_fingerprint(attached, "02_preprocessing")}
    assert settings.work_dir not in settings.cache(layout.VOLUMES).parents


def test_the_submission_lies_in_its_step_and_on_kaggle_where_the_scorer_looks(names, monkeypatch):
    settings = begin("01_eda", names)
    assert settings.submission == layout.SUBMISSION_CSV.under(settings.work_dir)
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert str(settings.submission) == "/kaggle/working/submission.csv"


def test_the_machine_is_described_without_its_name() -> None:
    facts = module.machine_in_words()
    assert facts["cores"] == str(cores())
    assert float(facts["memory"].removesuffix(" GB")) > 0
    assert socket.gethostname() not in " ".join(facts.values())
