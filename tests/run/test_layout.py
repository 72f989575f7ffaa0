from pathlib import Path

from kitlib.run import layout
from kitlib.run.steps import STEPS

FILES = [value for value in vars(layout).values() if isinstance(value, layout.File)]


def test_every_file_is_of_a_step_and_has_a_place_of_its_own() -> None:
    assert len(FILES) > 10
    assert {file.step for file in FILES} <= {step.name for step in STEPS}
    assert len(set(FILES)) == len(FILES)


def test_files_of_an_experiment_lie_in_its_folder() -> None:
    work = Path("work")
    assert layout.FOLDS.under(work) == work / "04_modelling" / "folds.parquet"
    assert layout.OOF.under(work, experiment="a").parent == layout.EXPERIMENT.under(work, experiment="a")
