"""The page about a run: complete, self-contained, and truthful about what exists."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from kitlib.artefacts import save_table
from kitlib.competition.root import Competition
from kitlib.errors import StepError
from kitlib.evaluate.baselines import score_table, uniform
from kitlib.mri.ledger import Fault, Ledger
from kitlib.report.pages.run import UNRECORDED, run_facts, run_page
from kitlib.report.style import new_figure, save_figure
from kitlib.run import layout
from kitlib.run.steps import read_manifest, write_manifest
from kitlib.terms import CELL_NAMES
from tests.models.builders import make_labels
from tests.run.finished import MADE, finish_step


@pytest.fixture(scope="module")
def scored(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with scores, a figure, a ledger and the notebooks' manifests."""
    run = shutil.copytree(work, tmp_path_factory.mktemp("scored") / "work")
    labels = pd.DataFrame(make_labels(6), index=range(6), columns=list(CELL_NAMES))
    rows = {"prior": uniform(labels.index), "mine": uniform(labels.index)}
    save_table(layout.SCORES.under(run), score_table(labels, rows, against="prior"), MADE)
    figure = new_figure(3, 2, "Loss by level")
    figure.add_subplot().set(xlabel="level", ylabel="loss (nats)")
    save_figure(figure, run / layout.ENSEMBLING / "figures" / "loss.png")
    ledger = Ledger([Fault("slice.pixels", "slice dropped", study, file="SMITH.dcm") for study in (1, 2)])
    save_table(layout.TEST_LEDGER.under(run), ledger.table(), MADE)
    for step in (layout.ENSEMBLING, layout.SUBMISSION):
        finish_step(run, step)
    facts = {"data": {"name": "phantoms", "is_phantom": True}, "machine": {"cores": "2", "system": "Linux"}}
    write_manifest(run, layout.SUBMISSION, {**read_manifest(run, layout.SUBMISSION), **facts})
    return run


@pytest.fixture(scope="module")
def page(scored: Path) -> str:
    return run_page(scored)


def test_the_page_is_alone_in_its_file(page: str) -> None:
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:image/(?:png|webp);base64,|#)', page) == []
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)


def test_no_folder_of_the_machine_and_no_file_of_the_data_is_named(page: str, scored: Path) -> None:
    assert str(scored) not in page
    assert "SMITH" not in page


def test_results_are_those_of_the_run(page: str) -> None:
    assert "<td>mine</td>" in page
    assert "6 studies in 2 folds of whole studies" in page
    assert "no earlier step has read" not in page  # no labels of test studies


def test_every_figure_says_in_words_what_it_shows(page: str) -> None:
    texts = re.findall(r'<img alt="([^"]*)"', page)
    assert "Loss by level; level; loss (nats)" in texts
    assert all(len(text) > 10 for text in texts)
    assert len(texts) == page.count("<img") == page.count("<figcaption>")


def test_the_ledger_is_counted(page: str) -> None:
    row = re.sub(r"\s+", "", page)
    assert "<td>slice.pixels</td><td>slicedropped</td><td>2</td><td>2</td>" in row


def test_what_it_was_made_with_and_from_is_there(page: str, scored: Path) -> None:
    for step in ("03_embeddings", "04_modelling", "05_ensembling", "06_submission"):
        assert f"<td>{step}</td>" in page
    assert "<td>01_eda</td>" not in page  # not done
    versions = read_manifest(scored, layout.MODELLING)["versions"]
    assert f"<td>{versions['torch']}</td>" in page
    assert read_manifest(scored, layout.ENSEMBLING)["outputs"]["ensemble.json"]["sha256"] in page
    assert "The data are PHANTOMS" in page


def test_a_step_that_read_what_is_no_longer_there_is_out_of_date(scored: Path, tmp_path: Path) -> None:
    run = shutil.copytree(scored, tmp_path / "work")
    assert "out of date:" not in run_page(run)
    (run / layout.MODELLING / "more.txt").write_text("anew")
    finish_step(run, layout.MODELLING)
    assert "out of date: 04_modelling" in run_page(run)


def test_a_run_that_does_not_say_what_its_data_are_is_not_taken_for_phantoms(work: Path) -> None:
    page = run_page(work)
    assert UNRECORDED in page
    assert "PHANTOMS" not in page
    assert "Nothing is scored yet" in page
    assert "No step with a ledger is done." in page
    assert "There are no figures." in page


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no step of a run is done here"):
        run_page(tmp_path)


def test_facts_are_of_folds_and_inputs(work: Path, data: Competition) -> None:
    facts = run_facts(work)
    assert facts["data"].startswith(f"{len(data.train_labels())} studies")
    assert facts["weights"] == "resnet10t, weights random"
