import numpy as np
import pytest

from kitlib.errors import UsageError
from kitlib.models.common.sampling import SAMPLERS, resampled

RANDOM = np.random.default_rng(0)
SEVERITIES = np.repeat([0, 1, 2], [60, 12, 6])
ROWS = RANDOM.normal(size=(78, 4)) + SEVERITIES[:, None]


def sampled_counts(name: str, severities: np.ndarray = SEVERITIES) -> list[int]:
    rows, codes, _ = resampled(name, ROWS[: len(severities)], severities, seed=0)
    assert len(rows) == len(codes)
    assert np.isfinite(rows).all()
    return np.bincount(codes, minlength=3).tolist()


def test_no_sampling_changes_nothing() -> None:
    rows, codes, _ = resampled("none", ROWS, SEVERITIES, seed=0)
    assert rows is ROWS
    assert codes is SEVERITIES


def test_over_sampling_makes_the_rare_as_common_as_the_common() -> None:
    assert sampled_counts("smote") == [60, 60, 60]


def test_svm_smote_adds_to_the_rare_only() -> None:
    counts = sampled_counts("svm_smote")
    assert counts[0] == 60
    assert counts[1] > 12
    assert counts[2] > 6


def test_smote_after_under_sampling_fills_up_to_what_is_left_of_the_commonest() -> None:
    assert sampled_counts("smote_undersample") == [19, 19, 19]


def test_a_stand_in_is_noted_and_no_other_sampling_is() -> None:
    amid = np.vstack([ROWS[:60], ROWS[:60].mean(axis=0), ROWS[:60].mean(axis=0) + 3])
    severities = np.repeat([0, 2], [60, 2])
    notes = {name: resampled(name, amid, severities, seed=0)[2] for name in SAMPLERS}
    assert "SMOTE stands in" in notes.pop("svm_smote")
    assert not any(notes.values())
    assert resampled("svm_smote", ROWS, SEVERITIES, seed=0)[2] == ""


def test_under_sampling_leaves_a_third_of_the_commonest() -> None:
    assert sampled_counts("undersample") == [19, 12, 6]


@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.parametrize("counts", [(20, 1, 1), (20, 2, 0), (20, 0, 0), (1, 1, 1), (3, 3, 2)])
def test_small_classes_are_survived(name: str, counts: tuple[int, int, int]) -> None:
    after = sampled_counts(name, np.repeat([0, 1, 2], counts))
    assert [count > 0 for count in after] == [count > 0 for count in counts]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown sampling"):
        resampled("smoat", ROWS, SEVERITIES, seed=0)
