import pytest

from kitlib.ensemble.calibrate import calibrator_named, name2calibrator
from kitlib.ensemble.combine import combiner_named, name2combiner
from kitlib.ensemble.names import CALIBRATORS, COMBINERS
from kitlib.errors import UsageError


def test_the_names_that_a_profile_knows_are_those_of_the_classes() -> None:
    assert tuple(name2combiner) == COMBINERS
    assert list(name2calibrator) == CALIBRATORS


def test_a_mistyped_name_is_an_error_that_gives_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown combiner 'logistik'.*'logistic'"):
        combiner_named("logistik")
    with pytest.raises(UsageError, match=r"unknown calibrator 'temprature'.*'temperature'"):
        calibrator_named("temprature")
