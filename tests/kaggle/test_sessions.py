from pathlib import Path

import pandas as pd
import pytest

from kitlib.competition.root import SLUG, Competition, find_root
from kitlib.kaggle.sessions import FLAT, NESTED, SESSIONS, VARIABLES, Session
from kitlib.run.steps import STEPS

KIND2SESSION = {(session.step.number, session.kind): session for session in SESSIONS}


@pytest.fixture
def hidden(tmp_path: Path, data: Competition) -> Competition:
    """A competition with tables of its test studies, their labels and the phantoms' ground truth."""
    root = tmp_path / "data"
    root.mkdir()
    for path in data.root.iterdir():
        (root / path.name).symlink_to(path)
    for name in ("test_labels.csv", "phantom.json"):
        (root / name).write_text("{}")
    pd.DataFrame({"row_id": ["11_a", "12_a"], "severe": "0.3"}).to_csv(
        root / "sample_submission.csv", index=False
    )
    return Competition(root)


def test_between_them_the_sessions_see_every_place_and_kind() -> None:
    assert {session.kind for session in SESSIONS} == set(VARIABLES)
    for places in (FLAT, NESTED):
        attached = [session for session in SESSIONS if session.places is places and session.step.reads]
        assert attached  # so a competition, datasets and kernel outputs


def test_each_step_is_saved_before_one_that_reads_it() -> None:
    saved: set[str] = set()
    for session in SESSIONS:
        assert set(session.step.reads) <= saved
        saved |= {session.step.name} if session.kind == "batch" else set()
    assert saved == {step.name for step in STEPS}


@pytest.mark.parametrize("places", [FLAT, NESTED])
def test_a_competition_is_found_in_every_layout(
    light_build: Path, hidden: Competition, tmp_path: Path, places: dict[str, str]
) -> None:
    mounted = Session(STEPS[0], "rerun", places).inputs(light_build, hidden, tmp_path / "sessions")
    for place, path in mounted.items():
        (tmp_path / "input" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "input" / place).symlink_to(path)
    found = find_root(tmp_path / "input")
    assert found.root.name == SLUG
    assert found.test_study_ids() == hidden.test_study_ids()
    assert len(found.series("train")) == len(hidden.series("train"))


def test_only_the_scorer_shows_the_hidden_studies_and_nobody_their_truth(
    light_build: Path, hidden: Competition, tmp_path: Path
) -> None:
    for kind, studies in (("batch", {"11"}), ("rerun", {"11", "12", "13"})):
        inputs = Session(STEPS[0], kind, FLAT).inputs(light_build, hidden, tmp_path / "sessions")
        rows = pd.read_csv(inputs[f"{SLUG}/test_series_descriptions.csv"], dtype=str)
        assert set(rows["study_id"]) == studies
        asked = pd.read_csv(inputs[f"{SLUG}/sample_submission.csv"])
        assert set(asked["row_id"].str[:2]) == studies & {"11", "12"}
        assert (f"{SLUG}/test_images" in inputs) == (kind == "rerun")
        assert not [place for place in inputs if "labels" in place or "phantom" in place]
        assert inputs[f"{SLUG}/train_images"] == hidden.root / "train_images"


def test_what_kernels_saved_is_mounted_by_their_slugs(
    light_build: Path, hidden: Competition, tmp_path: Path
) -> None:
    for step in STEPS:
        folder = tmp_path / f"{step.name}-batch" / "working" / "steps"
        folder.mkdir(parents=True)
    inputs = KIND2SESSION[6, "rerun"].inputs(light_build, hidden, tmp_path)
    for slug in ("kitlib-03-embeddings", "kitlib-04-modelling", "kitlib-05-ensembling"):
        assert inputs[f"notebooks/someone/{slug}/steps"].is_dir()
    assert "notebooks/someone/kitlib-01-eda/steps" not in inputs
    assert "datasets/someone/kitlib-code/notebooks" in inputs


def test_a_session_sees_kaggles_variables_and_none_of_this_machines_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KAGGLE_IS_COMPETITION_RERUN", "PYTHONSTARTUP", "XDG_CACHE_HOME", "HF_HOME"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("LANG", "C")
    interactive = KIND2SESSION[1, "interactive"].environment(tmp_path, isolated=True)
    rerun = KIND2SESSION[6, "rerun"].environment(tmp_path, isolated=False)
    assert "mine" not in interactive.values()
    assert interactive["KAGGLE_KERNEL_RUN_TYPE"] == "Interactive"
    assert "KITLIB_KAGGLE" not in interactive
    assert rerun["KAGGLE_KERNEL_RUN_TYPE"] == "Batch"
    assert rerun["KAGGLE_IS_COMPETITION_RERUN"] == "1"
    assert "KAGGLE_IS_COMPETITION_RERUN" not in interactive
    assert rerun["KITLIB_KAGGLE"] == str(tmp_path / "root")
    assert rerun["HOME"] == str(tmp_path / "home")
    assert rerun["LANG"] == "C"
