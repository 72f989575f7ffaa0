"""Custom inputs, models, backbones and calibrators, end to end; no line of the kit knows them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import Provenance, fingerprint, load_array, save_array
from kitlib.competition.metric import score_arrays
from kitlib.competition.root import Competition
from kitlib.competition.submission import validate_submission
from kitlib.ensemble import calibrate
from kitlib.ensemble.combine import Blend
from kitlib.ensemble.crossfit import Ensemble, Recipe
from kitlib.ensemble.names import CALIBRATORS
from kitlib.errors import UsageError
from kitlib.experiments import registry
from kitlib.experiments.experiment import Experiment
from kitlib.inputs import base as inputs
from kitlib.inputs.base import Dataset, Encoder, InputSpec, Resources
from kitlib.inputs.crops import CropInput
from kitlib.models import registry as models
from kitlib.models.base import Model
from kitlib.models.boosting import LightGBMModel
from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Study
from kitlib.predict.stream import Handling, Result
from kitlib.prepare.studies import PreparedStudies
from kitlib.run import layout
from kitlib.run.finished import finished_predictor
from kitlib.run.profiles import profile_named
from kitlib.run.settings import _parameters
from kitlib.terms import SEQUENCES
from tests.ensemble.builders import make_probabilities
from tests.models.builders import make_labels
from tests.run.finished import LONGEST_PX, finish_step, make_run, predict_data, random_slices

HOME = Path(__file__).parents[1]
README, START = HOME / "README.md", HOME / "docs" / "start.md"
STRICT = Handling(strict=True)


@dataclass(frozen=True, eq=False)
class Counts(Dataset):
    """The number of slices of each study and sequence."""

    study_ids: np.ndarray
    slices: np.ndarray  # (n, 3)

    @property
    def present(self) -> np.ndarray:
        return self.slices > 0

    def take(self, index: Any) -> Self:
        return replace(self, study_ids=self.study_ids[index], slices=self.slices[index])

    def without(self, removed: np.ndarray) -> Self:
        return replace(self, slices=np.where(removed, 0, self.slices))

    def renumbered(self, study_ids: np.ndarray) -> Self:
        return replace(self, study_ids=study_ids)

    def _digest(self) -> str:
        return fingerprint(self.study_ids.tolist(), self.slices.tolist())

    def _check(self) -> None: ...


@dataclass(frozen=True)
class CountInput(InputSpec):
    kind: ClassVar[str] = "counts"

    @property
    def label(self) -> str:
        return "counts of slices"

    def encoder(self, resources: Resources) -> "CountEncoder":
        return CountEncoder(self)


class CountEncoder(Encoder):
    def __init__(self, spec: CountInput) -> None:
        self.spec = spec

    def encode(self, study: Study, ledger: Ledger) -> Counts:
        slices = [sum(map(len, study.stacks(name))) for name in SEQUENCES]
        return Counts(np.array([study.study_id]), np.array([slices]))

    def dataset(self, studies: PreparedStudies, cache: Path) -> Counts:
        rows = [self.encode(studies.study(study_id), Ledger()) for study_id in studies.study_ids]
        return Counts(np.array(studies.study_ids), np.concatenate([row.slices for row in rows]))


@dataclass
class CountModel(Model):
    """The prior, adjusted a little by the number of slices."""

    name: ClassVar[str] = "counts"
    reads = Counts

    strength: float = 0.01

    def _fit(self, data: Counts, labels: np.ndarray, seed: int) -> None:
        self.mean = data.slices.mean(axis=0)

    def _predict(self, data: Counts) -> np.ndarray:
        severe = 1 + self.strength * (data.slices - self.mean).sum(axis=1)
        return self.prior * np.stack([np.ones_like(severe), severe, severe], axis=1)[:, None]

    def _save(self, folder: Path, provenance: Provenance) -> None:
        save_array(folder / "mean.npy", self.mean, provenance)

    def _load(self, folder: Path) -> None:
        self.mean = load_array(folder / "mean.npy")


@pytest.fixture(autouse=True)
def untouched_registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(calibrate, "name2calibrator", dict(calibrate.name2calibrator))
    monkeypatch.setattr(registry, "EXPERIMENTS", dict(registry.EXPERIMENTS))
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    monkeypatch.setattr(inputs, "_registered", dict(inputs._registered))
    known = list(CALIBRATORS)
    yield
    CALIBRATORS[:] = known


def submitted(data: Competition, work: Path, experiments: list[Experiment]) -> Result:
    """Predict the test set with an equal blend of experiments fitted on two folds."""
    make_run(work, data, experiments)
    even = {entry.name: 1 / len(experiments) for entry in experiments}
    Ensemble(Blend(even)).save(layout.ENSEMBLE.under(work), Provenance())
    finish_step(work, layout.ENSEMBLING)
    result = predict_data(data.root, work, work / "submission.csv", STRICT)
    validate_submission(work / "submission.csv", data.test_study_ids())
    return result


def test_an_input_and_a_model_of_ones_own_go_all_the_way(data: Competition, tmp_path: Path) -> None:
    mine = registry.register(Experiment("mine", CountModel(), CountInput(LONGEST_PX)))
    alone = submitted(data, tmp_path / "alone", [mine])
    assert set(alone.predictions["rung"]) == {"full model"}
    boosted = Experiment("boosted", LightGBMModel(trees=3), random_slices("greyscale"))
    blended = submitted(data, tmp_path / "blended", [mine, boosted])
    member = finished_predictor(tmp_path / "blended").members["mine"]
    assert member.input == mine.input
    assert member.models[0].mean.tolist() == [5.0, 5.0, 5.0]  # type: ignore[attr-defined]
    assert not blended.predictions["severe"].equals(alone.predictions["severe"])


@pytest.mark.slow
def test_experiments_on_different_backbones_are_blended_and_submitted(
    data: Competition, tmp_path: Path
) -> None:
    entries = [
        Experiment(name, LightGBMModel(trees=3, components=2), random_slices(grey, backbone))
        for name, grey, backbone in (("a", "greyscale", "resnet10t"), ("b", "equalised", "test_resnet"))
    ]
    blended = submitted(data, tmp_path / "both", entries)
    alone = [submitted(data, tmp_path / entry.name, [entry]) for entry in entries]
    probabilities = ["normal_mild", "moderate", "severe"]
    mean = sum(result.predictions[probabilities] for result in alone) / 2
    pd.testing.assert_frame_equal(blended.predictions[probabilities], mean, atol=1e-6, check_exact=False)
    widths = {member.input.width for member in finished_predictor(tmp_path / "both").members.values()}  # type: ignore[attr-defined]
    assert len(widths) == 2


def code_of(page: Path, mark: str) -> str:
    """The code between its markers."""
    (code,) = re.findall(
        rf"<!-- {mark} -->\s*```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL
    )
    return code


def run_code(page: Path, mark: str) -> None:
    """As in a notebook, whose first call refuses variables that are not parameters."""
    names = {"__name__": "__main__"}
    exec(compile(code_of(page, mark), page.name, "exec"), names)
    assert _parameters(names) == {}


def registered_by(page: Path, mark: str) -> Experiment:
    before = set(registry.EXPERIMENTS)
    run_code(page, mark)
    (name,) = set(registry.EXPERIMENTS) - before
    return registry.experiment(name)


def test_the_model_of_the_readme_runs(data: Competition, tmp_path: Path) -> None:
    """The documented code is fitted, blended and submitted unchanged."""
    lines = code_of(README, "own-model").splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith(("from", "import"))]
    assert len(lines) <= 15
    entry = registered_by(README, "own-model")
    submitted(data, tmp_path, [entry.reading(random_slices("greyscale"))])


def test_the_backbone_of_the_page_runs(data: Competition, tmp_path: Path) -> None:
    entry = registered_by(START, "own-backbone")
    spec = entry.input.completed({"longest_px": LONGEST_PX, "grey": "greyscale"})
    result = submitted(data, tmp_path, [entry.reading(spec).with_parameters(trees=3)])
    assert set(result.predictions["rung"]) == {"full model"}
    (member,) = finished_predictor(tmp_path).members.values()
    assert (member.input.backbone, member.input.width) == ("small_net", 32)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("register", "kit"),
    [
        (models.register_model, LightGBMModel),
        (inputs.register_input, CropInput),
        (calibrate.register_calibrator, calibrate.Temperature),
    ],
)
def test_no_class_of_ones_own_takes_the_place_of_the_kits(
    register: Any, kit: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "_registered", {})  # the kit's own inputs are loaded when needed

    def mine(**facts: str) -> type:
        return type("Mine", (kit,), facts)

    with pytest.raises(UsageError, match="is registered already, by"):
        register(mine())
    own_names = {"name": "mine", "kind": "mine"}
    register(mine(**own_names))
    register(again := mine(**own_names))  # its cell is rerun
    assert {"mine": again}.items() <= {
        **models.MODELS, **inputs._registered, **calibrate.name2calibrator
    }.items()  # fmt: skip


def test_the_calibrator_of_the_page_is_fitted_saved_and_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown calibrator 'hedge'"):
        profile_named("smoke").with_overrides({"calibrate": "hedge"})
    run_code(START, "own-calibrator")
    assert profile_named("smoke").with_overrides({"calibrate": "hedge"}).calibrators == ("hedge",)
    labels = make_labels(300)
    sharp = make_probabilities(labels, skill=1.2, sharpness=3.0)
    fitted = Ensemble.fit(labels, {"sharp": sharp}, Recipe("blend", ("hedge",)))
    calibrated = fitted.apply({"sharp": sharp})
    assert score_arrays(labels, calibrated).total < score_arrays(labels, sharp).total - 0.1
    fitted.save(tmp_path / "ensemble.json", Provenance())
    opened = Ensemble.load(tmp_path / "ensemble.json")
    assert opened.calibrators[0].name == "hedge"
    np.testing.assert_array_equal(opened.apply({"sharp": sharp}), calibrated)
