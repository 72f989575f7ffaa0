"""The bench combines its parts, here with few damages, mutants, and commands that end at once."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from kitlib.errors import StepError, UsageError
from kitlib.faults import bench
from kitlib.faults.bench import FEWEST_STUDIES, damaged_rows, interrupted_rows, run_bench, spoilt_rows
from kitlib.faults.cases import Case
from kitlib.faults.journal import Journal
from kitlib.faults.judge import Judge, Outcome
from kitlib.faults.kills import TRIALS, Ending, Job
from kitlib.faults.registry import DAMAGES
from kitlib.faults.subject import Bed
from kitlib.run.data import sole_run

NAMES = ["file empty", "scouts", "line twice", "constant", "no pixels"]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    return Bed.draw(tmp_path_factory.mktemp("bed") / "phantoms", studies=FEWEST_STUDIES, drawn=2, seed=5)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, "key")


def test_too_few_studies_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too little"):
        run_bench(tmp_path, studies=FEWEST_STUDIES - 1, seed=1, mutants=0, kills=0, run_kills=0)
    assert not list(tmp_path.iterdir())


def test_two_benches_in_one_folder_are_refused(tmp_path: Path) -> None:
    with sole_run(tmp_path), pytest.raises(StepError, match="is using this folder"):
        run_bench(tmp_path, studies=FEWEST_STUDIES, seed=1, mutants=0, kills=0, run_kills=0)


def test_each_case_is_a_row_and_the_naive_loader_reads_the_smallest_dose(
    bed: Bed, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = fake_judge(monkeypatch, bed, NAMES)
    table = damaged_rows(journal, bed, tmp_path, 1)
    single = table[table["what"] != ""]
    assert list(single["name"].unique()) == NAMES
    assert (table["unreported"] == 1).all()
    assert set(single.loc[single["touched"] == 1, "naive"]) == {"ends"}
    assert set(table.loc[table["touched"] > 1, "naive"]) == {""}
    assert list(table.loc[table["what"] == "", "kind"].unique()) == ["pairs", "storms"]
    assert len(judged) == len(table)


def test_a_stopped_bench_goes_on_with_the_next_case(
    bed: Bed, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = fake_judge(monkeypatch, bed, NAMES)
    whole = damaged_rows(Journal(tmp_path / "whole", "key"), bed, tmp_path, 1)
    judged.clear()
    judged.stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        damaged_rows(journal, bed, tmp_path, 1)
    judged.stop_at = -1
    pd.testing.assert_frame_equal(damaged_rows(journal, bed, tmp_path, 1), whole)
    assert len(judged) == len(whole)


class Cases(list[Case]):
    """The cases judged; judging the one with the number `stop_at` is interrupted."""

    stop_at = -1


def fake_judge(monkeypatch: pytest.MonkeyPatch, bed: Bed, names: list[str]) -> Cases:
    """Judge only the damages of some names, without predicting; the naive loader reads nothing damaged."""
    judged = Cases()

    def judge(_: Judge, case: Case, root: Path) -> Outcome:
        shutil.rmtree(root)
        if len(judged) == judged.stop_at:
            raise KeyboardInterrupt
        judged.append(case)
        return Outcome(case, "", True, (), tuple(case.damages)[:1], False, 0.1, 1.0)

    monkeypatch.setattr(bench, "DAMAGES", {name: DAMAGES[name] for name in names})
    monkeypatch.setattr(bench, "naive_reading", lambda root: {} if root == bed.root else None)
    monkeypatch.setattr(Judge, "of", lambda bed, *_: Judge(bed, None, {}))  # type: ignore[arg-type]
    monkeypatch.setattr(Judge, "judge", judge)
    return judged


def test_a_naive_loader_that_does_not_read_whole_phantoms_compares_nothing(
    bed: Bed, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_judge(monkeypatch, bed, NAMES)
    monkeypatch.setattr(bench, "naive_reading", lambda _: None)
    with pytest.raises(StepError, match="naive loader"):
        damaged_rows(journal, bed, tmp_path, 1)


def test_mutants_are_counted_with_what_they_cost(bed: Bed, journal: Journal, tmp_path: Path) -> None:
    assert spoilt_rows(journal, bed, tmp_path, 0, 1)[1] == {}
    table, fact = spoilt_rows(journal, bed, tmp_path, 35, 1)
    assert table["mutants"].sum() == 35
    assert fact["mutants"].startswith("35 of 7 transfer syntaxes: at most 0.")


def test_moments_are_rows(
    bed: Bed, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ended(job: Job, moments: int, *how: object) -> list[Ending]:
        asked.append((job.name, moments, how[-1]))
        return [Ending(job.name, "killed", "1 s", True, True, True)] * TRIALS * moments

    monkeypatch.setattr(bench, "endings", ended)
    monkeypatch.setattr(bench, "write_competition", lambda root, **_: root)
    assert interrupted_rows(journal, bed, tmp_path, 0, 0, 1).empty
    table = interrupted_rows(journal, bed, tmp_path, 3, 2, 1)
    assert asked == [("predict", 3, 0), ("run", 2, 0)]
    assert len(table) == TRIALS * 5
    assert table["is_same"].all()
    assert interrupted_rows(journal, bed, tmp_path, 3, 2, 1).equals(table)
    assert len(asked) == 2
