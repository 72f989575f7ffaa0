"""Two contrasts with the same geometry in one series: a stack for each, whatever distinguishes them."""

import numpy as np
import pytest
from pydicom import Dataset

from kitlib.mri.contrasts import places_of
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from tests.mri.builders import make_enhanced_dataset, make_image, make_series, make_slice_dataset, write
from tests.mri.test_series import assert_same_stacks, shuffled

PAIRS = {
    "echo time": ({"EchoTime": 20}, {"EchoTime": 100}),
    "echo number": ({"EchoNumbers": 1}, {"EchoNumbers": 2}),
    "inversion time": ({"InversionTime": 150}, {"InversionTime": 800}),
    "image type": ({"ImageType": ["ORIGINAL", "PRIMARY", "M"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "P"]}),
    "time in the series": ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}),
    "acquisition": ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}),
    "series number": ({"SeriesNumber": 3}, {"SeriesNumber": 4}),
}


def read(folder):
    ledger = Ledger()
    return read_series(folder, ledger), [(fault.code, fault.detail) for fault in ledger]


def mixed(folder, one, other, *, count=6):
    """Two contrasts whose instance numbers carry no information: they alternate at random."""
    swaps = np.random.default_rng(1).integers(0, 2, count)
    for index in range(count):
        for contrast, options in enumerate((one, other)):
            number = 1 + 2 * index + int(contrast ^ swaps[index])
            image = make_image(index) + np.uint16(5000 * contrast)
            position = (4.0 * index, -100, 50)
            dataset = make_slice_dataset(image, position=position, number=number, **options)
            write(folder / f"{number}.dcm", dataset)
    return folder


@pytest.mark.parametrize("what", PAIRS)
def test_each_stack_is_of_one_contrast(tmp_path, what):
    stacks, faults = read(mixed(tmp_path / "a", *PAIRS[what]))
    assert faults == [("series.contrasts", f"2 images of one place, told apart by {what}")]
    assert [len(stack) for stack in stacks] == [6, 6]
    for stack in stacks:
        assert np.ptp(stack.pixels.mean(axis=(1, 2))) < 1000
        np.testing.assert_array_equal(stack.pixels % 5000, [make_image(index) for index in range(6)])
    assert_same_stacks(stacks, read(shuffled(tmp_path / "a", tmp_path / "b"))[0])


@pytest.mark.parametrize("other", [{"size": (16, 14)}, {"spacing": (0.6, 0.9)}])
def test_two_contrasts_of_two_sizes_are_told_too(tmp_path, other):
    make_series(tmp_path, EchoTime=100)
    make_series(tmp_path, EchoTime=20, first_number=21, **other)
    stacks, faults = read(tmp_path)
    assert len(stacks) == 2
    assert faults[-1] == ("series.overlap", "2 sagittal stacks of one place")


def test_of_two_contrasts_the_first_by_number_comes_first(tmp_path):
    make_series(tmp_path, EchoTime=100)
    make_series(tmp_path, EchoTime=20, first_number=21)
    stacks, _ = read(tmp_path)
    assert [stack.instance_numbers.max() for stack in stacks] == [5, 25]


def test_two_echoes_at_two_times_are_four_contrasts(tmp_path):
    for time in (1, 2):
        for echo in (20, 100):
            options = {"TemporalPositionIdentifier": time, "EchoTime": echo}
            make_series(tmp_path, first_number=100 * time + echo // 2, **options)
    stacks, ((code, detail),) = read(tmp_path)
    assert [len(stack) for stack in stacks] == [5, 5, 5, 5]
    assert (code, detail) == (
        "series.contrasts",
        "4 images of one place, told apart by echo time and time in the series",
    )


def test_what_differs_where_no_place_repeats_parts_nothing(tmp_path):
    for number in range(1, 7):
        acquired = {"AcquisitionNumber": number % 2, "EchoTime": 90 + number, "InstanceNumber": number}
        write(tmp_path / f"{number}.dcm", make_slice_dataset(position=(4 * number, 0, 0), **acquired))
    (stack,), faults = read(tmp_path)
    assert (len(stack), faults) == (6, [])


def test_numbers_that_count_slices_part_nothing(tmp_path):
    """Two echoes with a separate acquisition number for every slice: only the echo distinguishes them."""
    for number in range(1, 13):
        echo, index = divmod(number - 1, 6)
        options = {"EchoNumbers": echo + 1, "AcquisitionNumber": number, "number": number}
        write(tmp_path / f"{number}.dcm", make_slice_dataset(position=(4 * index, 0, 0), **options))
    stacks, faults = read(tmp_path)
    assert [len(stack) for stack in stacks] == [6, 6]
    assert [detail for _, detail in faults] == ["2 images of one place, told apart by echo number"]
    for path in tmp_path.iterdir():
        path.unlink()
    for number in range(1, 13):
        position = (4 * ((number - 1) % 6), 0, 0)
        dataset = make_slice_dataset(position=position, number=number, AcquisitionNumber=number)
        write(tmp_path / f"{number}.dcm", dataset)
    (stack,), faults = read(tmp_path)
    assert sorted(stack.instance_numbers) == [1, 2, 3, 4, 5, 6]
    assert {code for code, _ in faults} == {"stack.ambiguous"}


def test_an_acquisition_that_interleaves_slices_parts_nothing(tmp_path):
    for number in range(1, 11):
        dataset = make_slice_dataset(position=(4 * number, 0, 0), number=number, AcquisitionNumber=number % 2)
        write(tmp_path / f"{number}.dcm", dataset)
    dataset = make_slice_dataset(position=(12, 0, 0), number=30, AcquisitionNumber=0)  # the third, again
    write(tmp_path / "30.dcm", dataset)
    (stack,), faults = read(tmp_path)
    assert len(stack) == 10
    assert [code for code, _ in faults] == ["stack.ambiguous"]


def grouped(dataset, name, **values):
    """Give each frame an item of a functional group."""
    for index, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value(index))
        setattr(group, name, [item])


@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        ("MREchoSequence", {"EffectiveEchoTime": lambda index: 20.0 + 60 * (index % 2)}, "echo time"),
        ("MRImageFrameTypeSequence", {"FrameType": lambda index: ["A", "PM"[index % 2]]}, "image type"),
        (
            "MRImageFrameTypeSequence",
            {"ComplexImageComponent": lambda index: ["MAGNITUDE", "PHASE"][index % 2]},
            "part of complex values",
        ),
        (
            "FrameContentSequence",
            {"TemporalPositionIndex": lambda index: 1 + index % 2},
            "time in the series",
        ),
    ],
)
def test_frames_of_one_contrast_make_one_stack(tmp_path, name, values, what):
    dataset = two_of_each_place()
    grouped(dataset, name, **values)
    write(tmp_path / "1.dcm", dataset)
    stacks, faults = read(tmp_path)
    assert faults == [("series.contrasts", f"2 images of one place, told apart by {what}")]
    for parity, stack in enumerate(stacks):
        images = [make_image(index) for index in range(parity, 12, 2)]
        np.testing.assert_array_equal(stack.pixels, images[::-1])


def test_frames_that_nothing_tells_apart_are_kept_by_their_order_and_doubted(tmp_path):
    write(tmp_path / "1.dcm", two_of_each_place())
    (stack,), faults = read(tmp_path)
    np.testing.assert_array_equal(stack.pixels, [make_image(index) for index in range(10, -1, -2)])
    assert faults == [("stack.ambiguous", "6 different, at another slice's position")]


def test_a_slice_that_is_acquired_again_is_no_other_image(tmp_path):
    random = np.random.default_rng(0)
    for number in range(1, 13):
        image = make_image(number % 6, (40, 40)) + random.integers(0, 60, (40, 40), dtype=np.uint16)
        dataset = make_slice_dataset(image, position=(4 * ((number - 1) % 6), 0, 0), number=number)
        write(tmp_path / f"{number}.dcm", dataset)
    (stack,), faults = read(tmp_path)
    assert stack.instance_numbers.tolist() == [1, 2, 3, 4, 5, 6]
    assert set(faults) == {("stack.repeated", "1 repeated, at another slice's position")}


@pytest.mark.parametrize(("numbers", "kept"), [((0, 5), 0), ((7, 5), 5), ((-3, 5), 5)])
def test_of_two_of_one_place_the_first_known_number_is_kept(tmp_path, numbers, kept):
    for file, number in enumerate(numbers):
        write(tmp_path / f"{file}.dcm", make_slice_dataset(make_image(file), number=number))
    (stack,), _ = read(tmp_path)
    assert stack.instance_numbers.tolist() == [kept]


def two_of_each_place():
    """An Enhanced file of twelve frames, with two at each position."""
    dataset = make_enhanced_dataset(frames=12)
    groups = dataset.PerFrameFunctionalGroupsSequence
    for index, group in enumerate(groups):
        group.PlanePositionSequence = groups[index - index % 2].PlanePositionSequence
    return dataset


def test_no_tag_that_is_compared_is_told(tmp_path):
    pair = ({"ImageType": ["SECRET1"]}, {"ImageType": ["SECRET2"]})
    assert "SECRET" not in str(read(mixed(tmp_path, *pair))[1])


def test_places_are_chains_of_near_positions():
    positions_mm = np.array([8.0, 0.0, 4.05, 0.09, 4.0, 0.18])
    assert places_of(positions_mm).tolist() == [2, 0, 1, 0, 1, 0]
    assert places_of(np.zeros(1)).tolist() == [0]
