"""A finished run, made once for all tests of prediction."""

from pathlib import Path

import pytest

from kitlib.competition.root import Competition
from kitlib.predict.predictor import Predictor, load_predictor
from tests.run.finished import make_data, make_run


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Competition:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory, data: Competition) -> Path:
    return make_run(tmp_path_factory.mktemp("work"), data)


@pytest.fixture(scope="session")
def predictor(work: Path) -> Predictor:
    return load_predictor(lambda step, name: work / step / name)
