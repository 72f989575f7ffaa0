import dataclasses
from pathlib import Path

import pytest

from kitlib.embed.names import WEIGHTS
from kitlib.errors import UsageError
from kitlib.run.profiles import PROFILES, Profile, kind2coercion, profile_named

DEMO = PROFILES["demo"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", "007", 7),
        ("epochs", 7.0, 7),
        ("seed", "1e3", 1000),
        ("budget_s", "1e-3", 0.001),
        ("budget_s", 5, 5.0),
        ("weights", "hub", "hub"),
        ("weights", 7, "7"),
    ],
)
def test_values_are_brought_to_the_type_of_their_field(name, value, expected):
    changed = getattr(DEMO.with_overrides({name: value}), name)
    assert changed == expected
    assert type(changed) is type(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", "many"), ("epochs", 2.5), ("epochs", True), ("epochs", None), ("epochs", "inf"),
     ("budget_s", "soon"), ("budget_s", True), ("budget_s", "nan"), ("weights", None), ("weights", ["a"])],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_with_the_name_of_the_parameter(name, value):
    with pytest.raises(UsageError, match=f"parameter '{name}' must be"):
        DEMO.with_overrides({name: value})


def test_a_mistyped_name_is_an_error_that_gives_the_nearest():
    with pytest.raises(UsageError, match=r"unknown parameter 'epoch'.*'epochs'"):
        DEMO.with_overrides({"epoch": 3})
    with pytest.raises(UsageError, match=r"unknown profile 'smok'.*'smoke'"):
        profile_named("smok")
    with pytest.raises(UsageError, match="Known are: smoke, demo, bench, kaggle"):
        profile_named("zzz")


def test_the_name_of_a_profile_is_no_parameter():
    with pytest.raises(UsageError, match="unknown parameter 'name'"):
        DEMO.with_overrides({"name": "other"})


def test_combiners_and_calibrators_are_known_before_anything_runs():
    with pytest.raises(UsageError, match=r"unknown combiner 'stack'"):
        DEMO.with_overrides({"combine": "stack"})
    with pytest.raises(UsageError, match=r"unknown calibrator 'any_sever'.*'any_severe'"):
        DEMO.with_overrides({"calibrate": "temperature,any_sever"})
    assert DEMO.with_overrides({"calibrate": "temperature, any_severe"}).calibrators == (
        "temperature",
        "any_severe",
    )
    assert DEMO.with_overrides({"calibrate": ""}).calibrators == ()


def test_overrides_leave_the_profile_as_it_is():
    DEMO.with_overrides({"epochs": 1})
    assert PROFILES["demo"] == DEMO
    assert DEMO.epochs != 1


def test_files_are_named_from_the_root_and_weights_by_a_word_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels start in the folder of the notebooks, where a relative path means something else."""
    monkeypatch.chdir(tmp_path)
    asked = profile_named("demo").with_overrides({"weights": "mine.safetensors", "attached_weights": "a"})
    located = asked.located()
    assert (located.weights, located.attached_weights) == (
        str(tmp_path / "mine.safetensors"), str(tmp_path / "a"),
    )  # fmt: skip
    for weights in WEIGHTS:
        plain = dataclasses.replace(asked, weights=weights, attached_weights="")
        assert plain.located() == plain


def test_how_to_work_is_told_from_what_comes_out():
    faster = DEMO.with_overrides({"workers": DEMO.workers + 1, "cell_timeout_s": 1})
    assert faster.results() == DEMO.results()
    assert DEMO.with_overrides({"epochs": 1}).results() != DEMO.results()


def test_every_field_can_be_given_as_text():
    for entry in dataclasses.fields(Profile):
        assert entry.type in kind2coercion


def test_the_competition_profile_draws_no_phantoms():
    assert not PROFILES["kaggle"].phantom_studies
