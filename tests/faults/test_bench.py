"""The bench combines its parts, here with few damages, mutants, and commands that end at once."""

from pathlib import Path

import pandas as pd
import pytest

from kitlib.errors import StepError, UsageError
from kitlib.faults import bench
from kitlib.faults.bench import FEWEST_STUDIES, damaged_rows, interrupted_rows, run_bench, spoilt_rows
from kitlib.faults.judge import Judge, Outcome
from kitlib.faults.kills import Ending
from kitlib.faults.registry import DAMAGES
from kitlib.faults.subject import Bed


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    return Bed.draw(tmp_path_factory.mktemp("bed") / "phantoms", studies=FEWEST_STUDIES, drawn=2, seed=5)


def test_too_few_studies_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too little"):
        run_bench(tmp_path, studies=FEWEST_STUDIES - 1, seed=1, mutants=0, kills=0, run_kills=0)
    assert not list(tmp_path.iterdir())


def test_each_case_is_a_row_and_the_naive_loader_reads_the_smallest_dose(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(_: Judge, case, root: Path) -> Outcome:
        for path in sorted(root.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        root.rmdir()
        return Outcome(case, "", True, (), tuple(case.damages)[:1], False, 0.1, 1.0)

    names = ["file empty", "scouts", "line twice", "constant", "no pixels"]
    monkeypatch.setattr(bench, "DAMAGES", {name: DAMAGES[name] for name in names})
    monkeypatch.setattr(bench, "naive_reading", lambda root: {} if root == bed.root else None)
    monkeypatch.setattr(Judge, "judge", judged)
    judge = Judge(bed, None, {})  # type: ignore[arg-type]
    table = pd.DataFrame(damaged_rows(judge, tmp_path, 1))
    single = table[table["what"] != ""]
    assert list(single["name"].unique()) == names
    assert (table["untold"] == 1).all()
    assert set(single.loc[single["touched"] == 1, "naive"]) == {"ends"}
    assert set(table.loc[table["touched"] > 1, "naive"]) == {""}
    assert list(table.loc[table["what"] == "", "kind"].unique()) == ["pairs", "storms"]


def test_a_naive_loader_that_does_not_read_whole_phantoms_compares_nothing(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "naive_reading", lambda _: None)
    with pytest.raises(StepError, match="naive loader"):
        next(damaged_rows(Judge(bed, None, {}), tmp_path, 1))  # type: ignore[arg-type]


def test_mutants_are_counted_with_what_they_cost(bed: Bed, tmp_path: Path) -> None:
    assert spoilt_rows(bed, tmp_path, 0, 1)[1] == {}
    table, fact = spoilt_rows(bed, tmp_path, 35, 1)
    assert table["mutants"].sum() == 35
    assert fact["mutants"].startswith("35 of 7 transfer syntaxes: at most 0.")


def test_moments_are_rows(bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = Ending("predict", "killed", "1 s", True, True, True)
    asked = []
    monkeypatch.setattr(bench, "endings", lambda job, *how: asked.append((job.name, how[0])) or [ending])
    monkeypatch.setattr(bench, "write_competition", lambda root, **_: root)
    assert interrupted_rows(bed, tmp_path, 0, 0, 1).empty
    table = interrupted_rows(bed, tmp_path, 3, 2, 1)
    assert asked == [("predict", 3), ("run", 2)]
    assert len(table) == 2
    assert table["is_same"].all()
