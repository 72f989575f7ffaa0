from pathlib import Path

import pytest

from kitlib.artefacts import Provenance
from kitlib.errors import ArtefactError
from kitlib.inputs.base import InputSpec, input_from_json, load_input
from kitlib.inputs.pixels import PixelInput
from kitlib.inputs.slices import SliceInput

SPECS = [
    SliceInput(48, "resnet10t", "shipped", 144, "middle", "equalised", "abc", 512),
    PixelInput(48, 64, "whole", "greyscale"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_a_saved_input_is_the_input_again(spec: InputSpec, tmp_path: Path) -> None:
    spec.save(tmp_path, Provenance())
    assert load_input(tmp_path) == input_from_json(spec.to_json()) == spec
    assert load_input(tmp_path).fingerprint == spec.fingerprint


def test_inputs_of_different_kinds_are_never_the_same() -> None:
    assert len({spec.fingerprint for spec in SPECS}) == len(SPECS)


@pytest.mark.parametrize("values", [{}, {"kind": "sound"}, {"kind": "pixels", "side": 3}])
def test_what_the_kit_does_not_know_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ArtefactError, match="unknown kind or form"):
        input_from_json(values)


def test_only_what_is_left_empty_is_completed() -> None:
    defaults = {"longest_px": 48, "grey": "equalised", "px": 32, "anything": 1}
    assert PixelInput().completed(defaults) == PixelInput(48, 128, "middle", "equalised")
    assert SPECS[1].completed(defaults) == SPECS[1]
