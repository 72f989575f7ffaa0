from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from kitlib.artefacts import Provenance, save_json
from kitlib.errors import ModelError, UsageError
from kitlib.models import registry
from kitlib.models.blind import PriorModel
from kitlib.models.boosting import LightGBMModel
from kitlib.models.registry import MODELS, load_model, register_model
from tests.models.builders import make_features, make_labels


def test_names_are_those_of_the_classes() -> None:
    assert all(model.name == name for name, model in MODELS.items())


def test_parameters_arrive_and_whole_numbers_may_stand_for_floats() -> None:
    model = LightGBMModel(trees=7, learning_rate=1)
    assert (model.trees, model.learning_rate) == (7, 1)


@pytest.mark.parametrize("value", ["7", 7.0, True, None])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="not of type int"):
        LightGBMModel(trees=value)  # type: ignore[arg-type]


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    save_json(tmp_path / "model.json", {"model": "future", "parameters": {}, "prior": []}, Provenance())
    with pytest.raises(ModelError, match="unknown model 'future'"):
        load_model(tmp_path)


def test_a_model_does_not_open_anothers_folder(tmp_path: Path) -> None:
    labels = make_labels(4)
    PriorModel().fit(make_features(labels), labels, seed=0).save(tmp_path, Provenance())
    with pytest.raises(ModelError, match="holds a prior, not a lightgbm"):
        LightGBMModel.load(tmp_path)


def test_a_model_of_ones_own_opens_once_it_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MODELS", dict(MODELS))

    @dataclass
    class Mine(PriorModel):
        name: ClassVar[str] = "mine"

    labels = make_labels(4)
    model = Mine().fit(make_features(labels), labels, seed=0)
    model.save(tmp_path, Provenance())
    with pytest.raises(ModelError, match="unknown model 'mine'"):
        load_model(tmp_path)
    assert register_model(Mine) is Mine
    predicted = load_model(tmp_path).predict(make_features(labels))
    assert predicted == pytest.approx(np.tile(model.prior, (4, 1, 1)))
