"""Pixel faults that no header shows are found: inversion, clipping, noise, copies; and none in real MRI."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kitlib.mri.ledger import Ledger
from kitlib.mri.looks import digests, odd_looks
from kitlib.mri.reading import read_study
from kitlib.mri.stack import Stack
from kitlib.phantom.study import draw_study
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2, SEQUENCES
from tests.mri.builders import AXIAL, make_image, make_series, make_slice_dataset, write


@pytest.fixture(scope="module")
def study():
    return draw_study(7, seed=1, size="smoke").study


def changed(stacks, change):
    return [replace(stack, pixels=np.array(list(map(change, stack.pixels)), np.float32)) for stack in stacks]


def words(stacks: list[Stack]) -> str:
    return "; ".join(odd_looks(stacks, digests(stacks)))


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_nothing_is_odd_about_a_phantom_however_its_greys_are_scaled(study, sequence):
    stacks = study.stacks(sequence)
    assert words(stacks) == ""
    assert words(changed(stacks, lambda image: image * 900 - 7)) == ""


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("clipped", lambda image: image.clip(None, np.quantile(image, 0.8))),
        ("marked", lambda image: np.where(np.arange(image.shape[1]) < 9, 65535, image)),
        ("fewer greys", lambda image: image // (image.max() / 4)),
        ("noise", lambda image: np.random.default_rng(0).permutation(image.ravel()).reshape(image.shape)),
        ("noise", lambda image: image.astype(np.uint16).byteswap()),
        ("noise", lambda image: np.roll(image.astype("<u2").view("u1"), 1, axis=1).copy().view("<u2")),
    ],
)
def test_what_physics_rules_out_is_said(study, sequence, what, change):
    assert what in words(changed(study.stacks(sequence), change))


@pytest.mark.parametrize("change", [lambda image: -image, lambda image: 65535 - image])
def test_an_inverted_series_is_told_where_it_is_sagittal(study, change):
    for sequence in SEQUENCES:
        assert ("more is white" in words(changed(study.stacks(sequence), change))) == (sequence != AXIAL_T2)


@pytest.mark.parametrize("bad", ["clipped", "noise", "the same", "many times"])
def test_one_slice_of_many_is_counted(study, bad):
    (stack,) = study.stacks(SAGITTAL_T2)
    pixels = stack.pixels.astype(np.float32)
    pixels[2] = {
        "clipped": np.minimum(pixels[2], np.quantile(pixels[2], 0.8)),
        "noise": np.random.default_rng(0).integers(0, 4000, pixels[2].shape),
        "the same": pixels[3],
        "many times": pixels[2] * 256,  # as of values that begin a byte late
    }[bad]
    said = words([replace(stack, pixels=pixels)])
    assert said.startswith(f"{2 if bad == 'the same' else 1} of {len(stack)} slices")
    assert bad in said


def test_a_window_for_a_screen_is_no_clipping(study):
    for sequence in SEQUENCES:
        windowed = changed(study.stacks(sequence), lambda image: image.clip(None, np.quantile(image, 0.91)))
        assert "clipped" not in words(windowed)


def test_a_slice_of_air_beside_the_body_is_noise_by_right(study):
    (stack,) = study.stacks(SAGITTAL_T2)
    pixels = stack.pixels.copy()
    pixels[0] = np.random.default_rng(0).uniform(0, np.quantile(pixels[0], 0.99) / 30, pixels[0].shape)
    assert words([replace(stack, pixels=pixels)]) == ""


def test_of_few_pixels_nothing_is_said(study):
    stacks = [stack.fitted(63) for stack in study.stacks(SAGITTAL_T2)]
    assert (words(changed(stacks, lambda image: -image)), digests(stacks)) == ("", [])


def test_a_sequence_that_shows_the_same_as_another_is_doubted_with_it(tmp_path):
    image = np.add.outer(np.arange(64), np.arange(70)) % 100 + make_image(size=(64, 70), highest=20)
    for name in "12":
        for number in range(3):
            dataset = make_slice_dataset(
                (image * (number + 1)).astype(np.uint16), position=(4 * number, 0, 0), number=number
            )
            write(tmp_path / name / f"{number}.dcm", dataset)
    make_series(tmp_path / "3", orientation=AXIAL)
    rows = pd.DataFrame({"series_id": [1, 2, 3], "folder": [str(tmp_path / name) for name in "123"]})
    for sequence, reported in ((SAGITTAL_T2, [1, 2]), (SAGITTAL_T1, [])):
        ledger = Ledger()
        read_study(7, rows.assign(sequence=[SAGITTAL_T1, sequence, AXIAL_T2]), ledger)
        assert [fault.series_id for fault in ledger if "another sequence" in fault.detail] == reported
