from pathlib import Path

import pytest

from kitlib.artefacts import Provenance, save_json
from kitlib.errors import ModelError, UsageError
from kitlib.models.boosting import LightGBMModel
from kitlib.models.registry import MODELS, build_model, load_model
from tests.models.builders import make_features, make_labels


def test_names_are_those_of_the_classes() -> None:
    assert all(model.name == name for name, model in MODELS.items())


def test_parameters_arrive_and_whole_numbers_may_stand_for_floats() -> None:
    model = build_model("lightgbm", trees=7, learning_rate=1)
    assert (model.trees, model.learning_rate) == (7, 1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ["7", 7.0, True, None])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="not of type int"):
        build_model("lightgbm", trees=value)


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown model 'lightgmb'"):
        build_model("lightgmb")
    save_json(tmp_path / "model.json", {"model": "future", "parameters": {}, "prior": []}, Provenance())
    with pytest.raises(ModelError, match="unknown model 'future'"):
        load_model(tmp_path)


def test_a_model_does_not_open_anothers_folder(tmp_path: Path) -> None:
    labels = make_labels(4)
    build_model("prior").fit(make_features(labels), labels, seed=0).save(tmp_path, Provenance())
    with pytest.raises(ModelError, match="holds a prior, not a lightgbm"):
        LightGBMModel.load(tmp_path)
