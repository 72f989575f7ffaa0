import dataclasses
import sys
from importlib.metadata import PackageNotFoundError

import pandas as pd
import pytest

from kitlib.artefacts import facts_of, load_table
from kitlib.embed.weights.sources import find_weights
from kitlib.errors import RootError, StepError, UsageError, WeightsError
from kitlib.experiments import parallel, registry
from kitlib.experiments.experiment import About, Experiment, Protocol
from kitlib.experiments.fold import run_fold
from kitlib.experiments.status import BEGUN, RunKey, RunNote, failure, noted, skipped
from kitlib.inputs.slices import SliceInput
from kitlib.models.blind import PriorModel
from kitlib.models.svc import SVCModel
from kitlib.prepare.studies import PreparedStudies
from kitlib.run.data import sole_run
from kitlib.run.grid import run_grid, weights_label
from kitlib.run.profiles import profile_named
from tests.run.finished import LONGEST_PX, make_data, random_slices

PROFILE = dataclasses.replace(
    profile_named("smoke"), weights="random", longest_px=LONGEST_PX, workers=1, folds=2
)
TRIAL = About(tags=("trial",))
PRIOR = Experiment("plain", PriorModel(), random_slices("greyscale"), about=TRIAL)
LEAKING = dataclasses.replace(PRIOR, name="plain_leaking", protocol=Protocol("series"))
TRAINING = dataclasses.replace(PRIOR, name="plain_training", protocol=Protocol("training"))
BAD = Experiment("bad", SVCModel(components=2), random_slices("greyscale"), about=TRIAL)
ELSEWHERE = Experiment("elsewhere", PriorModel(), SliceInput(backbone="resnet18", weights="hub"), about=TRIAL)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def small_world(monkeypatch):
    """Five experiments, on slices of 32 pixels or with weights that do not exist."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    entries = (PRIOR, LEAKING, TRAINING, BAD, ELSEWHERE)
    monkeypatch.setattr(registry, "EXPERIMENTS", {entry.name: entry for entry in entries})


@pytest.fixture
def run(tmp_path, data):
    def running(*only):
        return run_grid(PROFILE, "trial", data_dir=str(data.root), work_dir=str(tmp_path), only=only)

    return running


@pytest.fixture
def fitted(monkeypatch):
    """The names and folds fitted from now on."""
    names = []

    def remember(task, data):
        names.append((task.experiment.name, task.fold))
        run_fold(task, data)

    monkeypatch.setattr(parallel, "run_fold", remember)
    return names


def test_fits_that_are_done_are_not_fitted_again(run, fitted, tmp_path):
    assert run("plain").fits == 2
    assert run("plain").fits == 2
    assert fitted == [("plain", 0), ("plain", 1)]
    (tmp_path / "experiments" / "plain" / "fold1" / "oof.parquet.json").unlink()  # as after a kill
    run("plain")
    assert fitted[2:] == [("plain", 1)]


def test_a_failing_fit_is_noted_loses_nothing_else_and_is_tried_again(run, fitted, monkeypatch):
    def fail(*_):
        raise ValueError("too bad")

    with monkeypatch.context() as patch:
        patch.setattr(SVCModel, "_fit", fail)
        outcome = run("bad", "plain")
    assert outcome.fits == 2
    assert outcome.failed == {"bad": "ValueError: too bad"}
    assert failure(outcome.folder / "bad" / "fold0") == "ValueError: too bad"
    again = run("bad", "plain")
    assert (again.fits, again.failed) == (4, {})
    assert [name for name, _ in fitted].count("plain") == 2


@pytest.mark.slow
def test_missing_weights_skip_an_experiment_and_say_why(run):
    outcome = run("elsewhere", "plain")
    assert list(outcome.skipped) == ["elsewhere"]
    assert skipped(outcome.folder / "elsewhere").startswith("[weights] no weights for 'resnet18'. ")
    assert outcome.fits == 2


def test_a_model_whose_start_is_missing_is_skipped_and_the_others_run(run, monkeypatch):
    def lack(_):
        raise WeightsError("there is no file of weights to start from", hint="Check the path.")

    monkeypatch.setattr(SVCModel, "pretrained_source", lack)
    outcome = run("bad", "plain")
    assert outcome.fits == 2
    assert skipped(outcome.folder / "bad").startswith("[weights] there is no file of weights to start from. ")


@pytest.mark.slow
def test_without_the_extras_all_else_is_fitted_and_each_row_says_in_a_line_what_is_missing(run, monkeypatch):
    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("kitlib.embed.weights.packages.distribution", absent)
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    extra2input = {
        "imagenet": SliceInput(backbone="tf_efficientnet_lite0", weights="imagenet"),
        "ct": SliceInput(backbone="ct_resnet152", weights="ct"),
        "medicalnet": SliceInput(backbone="medicalnet_resnet10", weights="random"),
    }
    for extra, reads in extra2input.items():
        entry = Experiment(extra, PriorModel(), reads, about=TRIAL)
        monkeypatch.setitem(registry.EXPERIMENTS, extra, entry)
    outcome = run(*extra2input, "plain")
    assert (outcome.fits, outcome.failed) == (2, {})
    assert set(outcome.skipped) == set(extra2input)
    for extra, reason in outcome.skipped.items():
        assert f'pip install "kitlib[{extra}]"' in reason
        assert "\n" not in reason


def test_a_whole_study_stands_on_one_side_and_rows_of_a_leaking_split_do_not(run, monkeypatch):
    seen = {}

    def remember(task, data):
        seen[task.experiment.name, task.fold] = data
        run_fold(task, data)

    monkeypatch.setattr(parallel, "run_fold", remember)
    outcome = run("plain", "plain_leaking", "plain_training")
    for fold in (0, 1):
        sides = seen["plain", fold]
        assert not set(sides.train.study_ids) & set(sides.held_out.study_ids)
    training = seen["plain_training", 0]
    assert training.train.study_ids.tolist() == training.held_out.study_ids.tolist()
    rows = load_table(outcome.folder / "rows" / "series.parquet")
    assert len(rows) == 18  # six studies of three series
    assert rows["shared"].any()
    assert not load_table(outcome.folder / "rows" / "studies.parquet")["shared"].any()


def test_results_know_their_weights_their_cost_and_their_studies(run):
    folder = run("plain").folder / "plain"
    facts = facts_of(folder / "fold0" / "oof.parquet")
    assert facts["weights"].startswith(PROFILE.backbone)
    assert facts["fit_s"] >= 0
    assert facts["fit_peak_mb"] is None or facts["fit_peak_mb"] > 10
    assert not (folder / "fold0" / "model.json").exists()
    assert isinstance(load_table(folder / "fold0" / "oof.parquet"), pd.DataFrame)


def test_an_interrupt_ends_the_grid_and_is_no_failure(run, monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(PriorModel, "_fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("plain")
    fold = tmp_path / "experiments" / "plain" / "fold0"
    assert (noted(fold), failure(fold)) == (BEGUN, "")


def test_a_run_beside_another_in_its_work_folder_is_refused(run, fitted, tmp_path):
    with sole_run(tmp_path), pytest.raises(StepError, match="another run"):
        run("plain")
    assert fitted == []


def test_unknown_names_are_refused_before_anything_is_read(run):
    with pytest.raises(UsageError, match="Did you mean 'plain'"):
        run("plane")
    with pytest.raises(UsageError, match="unknown family 'trail'"):
        run_grid(PROFILE, "trail", data_dir="nowhere")


def test_a_folder_without_images_is_refused(data, tmp_path):
    for table in data.root.glob("train*.csv"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / table.name).write_bytes(table.read_bytes())
    with pytest.raises(RootError, match="no training images"):
        run_grid(PROFILE, "trial", data_dir=str(tmp_path / "data"), work_dir=str(tmp_path / "work"))


def test_studies_that_could_not_be_read_are_told_of(run, monkeypatch):
    assert run("plain").unreadable == 0
    monkeypatch.setattr(PreparedStudies, "unreadable", 3)
    assert run("plain").unreadable == 3
    assert RunNote.of(run("plain").folder).unreadable == 3


def test_fits_made_with_other_settings_are_fitted_again(run, fitted, data, tmp_path):
    """Otherwise the table, which shows no results of other settings, would wait for them for ever."""
    run("plain")
    other = dataclasses.replace(PROFILE, phantom_test_studies=1)
    for _ in range(2):
        run_grid(other, "trial", data_dir=str(data.root), work_dir=str(tmp_path), only=["plain"])
    assert len(fitted) == 4


def test_all_that_a_run_leaves_knows_its_data_and_settings(run, monkeypatch):
    folder = run("plain", "plain_leaking").folder
    key = RunNote.of(folder).key
    assert key.settings == PROFILE.results()
    for name in ("rows/series", "plain/fold0/oof", "plain_leaking/fold1/oof"):
        assert RunKey.of(folder / f"{name}.parquet") == key
    monkeypatch.setattr(PreparedStudies, "fingerprint", "others")
    run("plain")
    assert RunNote.of(folder).key.mismatch(folder / "rows" / "series.parquet") == "made on other data"


def test_weights_that_a_model_starts_from_stand_in_its_row(monkeypatch):
    assert weights_label(PRIOR, "pixels") == "pixels"
    monkeypatch.setattr(PriorModel, "pretrained_source", lambda _: find_weights("spine_vit", "shipped"))
    assert weights_label(PRIOR, "pixels") == (
        "pixels; starts from spine_vit: phantoms, 400 studies x 40 epochs"
    )
