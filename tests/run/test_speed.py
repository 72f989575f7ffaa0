from pathlib import Path

import pandas as pd
import pytest

from kitlib.competition.root import Competition
from kitlib.errors import StepError, UsageError
from kitlib.run import speed as module
from kitlib.run.speed import in_turns, measure_speed, predicting_table, step_table
from kitlib.run.steps import write_manifest


def test_studies_come_in_turns_under_numbers_of_their_own() -> None:
    series = pd.DataFrame({"study_id": [7, 7, 9], "folder": ["a", "b", "c"]})
    rows = in_turns(series, 3)
    assert rows.groupby("study_id")["folder"].agg(list).tolist() == [["a", "b"], ["c"], ["a", "b"]]
    assert rows["study_id"].unique().tolist() == [1, 2, 3]


@pytest.mark.slow
def test_a_fresh_process_predicts_with_the_models_of_the_run(data: Competition, work: Path) -> None:
    table = predicting_table(work, data.series("test"), [1, 4])
    assert table["studies"].tolist() == [1, 4]
    assert (table["wall_s"] > table["study_s"]).all()
    assert table["peak_memory_mb"].between(50, 4000).all()


def test_steps_are_as_their_manifests_say(tmp_path: Path) -> None:
    write_manifest(tmp_path, "04_modelling", {"outputs": {}, "wall_s": 87.9, "peak_memory_mb": 2171})
    assert step_table(tmp_path).to_numpy().tolist() == [["04_modelling", 87.9, 2171]]


def test_nothing_is_drawn_where_something_is_missing(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "drawn_series", lambda *_: pytest.fail("phantoms were drawn"))
    how = {"studies": 1, "repeats": 1, "size": "smoke"}
    with pytest.raises(StepError, match="is not done"):
        measure_speed(tmp_path, [], counts=[1], **how)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 times"):
        measure_speed(work, [], counts=[1, 0], **how)  # type: ignore[arg-type]
