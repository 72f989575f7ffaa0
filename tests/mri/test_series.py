import shutil
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from kitlib.faults.kinds.tags import turned
from kitlib.mri.dicom import slices
from kitlib.mri.dicom.header import Limits
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from tests.mri.builders import (
    AXIAL,
    CORONAL,
    FIRST_MM,
    SAGITTAL,
    make_enhanced_dataset,
    make_image,
    make_series,
    make_slice_dataset,
    read_file,
    tilted_axial,
    write,
)

OBLIQUE = (0.707107, 0.707107, 0.0, -0.408248, 0.408248, 0.816497)


def read(folder, **options):
    ledger = Ledger()
    return read_series(folder, ledger, **options), ledger


def codes(ledger):
    return [fault.code for fault in ledger]


def shuffled(source, target, seed=3):
    """The same files under other names, in another order."""
    paths = sorted(source.iterdir())
    target.mkdir()
    for place, index in enumerate(np.random.default_rng(seed).permutation(len(paths))):
        (target / f"{'zyxwvut'[place % 7]}{place}.dcm").write_bytes(paths[index].read_bytes())
    return target


def assert_same_stacks(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        geometry, again = one.geometry(), other.geometry()
        assert {**geometry, "files": []} == {**again, "files": []}


@pytest.mark.parametrize(
    ("orientation", "plane", "axis"),
    [
        (SAGITTAL, "sagittal", 0),
        (AXIAL, "axial", 2),
        (CORONAL, "coronal", 1),
        (tilted_axial(-20), "axial", 2),
    ],
)
@pytest.mark.parametrize("step_mm", [4.0, -4.0])
def test_slices_ascend_to_left_head_or_back_whichever_way_they_were_numbered(
    tmp_path, orientation, plane, axis, step_mm
):
    (stack,), ledger = read(make_series(tmp_path, orientation=orientation, step_mm=step_mm))
    assert len(ledger) == 0
    assert stack.plane == plane
    assert (np.diff(stack.origins_mm[:, axis]) > 0).all()
    np.testing.assert_allclose(np.diff(stack.positions_mm), 4, atol=1e-4)
    for image, number, file in zip(stack.pixels, stack.instance_numbers, stack.files):
        np.testing.assert_array_equal(image, make_image(number))
        assert file == f"{number}.dcm"


@pytest.mark.parametrize("orientation", [SAGITTAL, AXIAL, OBLIQUE])
def test_shuffled_and_renamed_files_give_the_same_stacks(tmp_path, orientation):
    make_series(tmp_path / "a", orientation=orientation)
    make_series(tmp_path / "a", orientation=tilted_axial(12), first=(0, 0, 80), first_number=50, count=3)
    make_series(tmp_path / "a", orientation=orientation, first_number=90, count=2, spacing=(0.4, 0.4))
    ours, our_ledger = read(tmp_path / "a")
    theirs, their_ledger = read(shuffled(tmp_path / "a", tmp_path / "b"))
    assert len(ours) == 3
    assert_same_stacks(ours, theirs)
    assert sorted(codes(our_ledger)) == sorted(codes(their_ledger))


def test_pixel_to_patient_agrees_with_the_standards_formula(tmp_path):
    # DICOM PS3.3, C.7.6.2.1.1: position + column index x column spacing x first triple + ...
    (stack,), _ = read(make_series(tmp_path, orientation=OBLIQUE, count=3))
    row, column = np.reshape(OBLIQUE, (2, 3))
    for index in range(3):
        expected = stack.origins_mm[index] + 7 * 0.75 * row + 4 * 0.5 * column
        np.testing.assert_allclose(stack.to_patient(7, 4, index), expected, atol=1e-5)
    points = np.random.default_rng(0).uniform(-200, 200, (50, 3))
    back = stack.to_patient(*stack.to_pixel(points).T)
    np.testing.assert_allclose(back, points, atol=1e-6)


def test_one_axial_block_a_disc_is_a_stack_each(tmp_path):
    for block, degrees in enumerate((-20, -5, 0, 0.5)):
        make_series(
            tmp_path,
            orientation=tilted_axial(degrees),
            first=(0, 0, 40.0 * block),
            first_number=1 + 10 * block,
            count=3 + block,
        )
    stacks, ledger = read(tmp_path)
    assert [len(stack) for stack in stacks] == [6, 5, 4, 3]
    assert len(ledger) == 0


@pytest.mark.parametrize("jitter", [1e-6, 1e-4])
def test_rounded_tags_do_not_split_a_stack(tmp_path, jitter):
    random = np.random.default_rng(0)
    for number in range(1, 31):
        write(
            tmp_path / f"{number}.dcm",
            make_slice_dataset(
                number=number,
                position=np.add([0, 0, 3.0 * number], random.normal(0, 100 * jitter, 3)),
                orientation=np.add(tilted_axial(7), random.normal(0, jitter, 6)),
                spacing=np.round(random.normal(0.5, jitter, 2), 8),
            ),
        )
    (stack,), ledger = read(tmp_path)
    assert stack.pixels.shape == (30, 12, 10)
    assert len(ledger) == 0
    np.testing.assert_allclose(stack.row_direction @ stack.column_direction, 0, atol=1e-12)


def test_parallel_fields_of_view_side_by_side_are_stacks_of_their_own(tmp_path):
    make_series(tmp_path, first=(0, -100, 200))  # an upper and a lower station at the same positions
    make_series(tmp_path, first=(0, -100, -50), first_number=20)
    stacks, ledger = read(tmp_path)
    assert [len(stack) for stack in stacks] == [5, 5]
    assert len(ledger) == 0


def test_a_sheared_stack_stays_whole(tmp_path):
    for number in range(1, 9):
        position = (0, 2.5 * number, 4.0 * number)  # each slice shifted to follow the spine
        write(
            tmp_path / f"{number}.dcm",
            make_slice_dataset(number=number, position=position, orientation=AXIAL),
        )
    (stack,), ledger = read(tmp_path)
    assert (len(stack), len(ledger)) == (8, 0)
    np.testing.assert_allclose(stack.to_patient(0, 0, 3.5), stack.origins_mm[3:5].mean(axis=0))


def test_mixed_sizes_are_stacks_of_their_own_and_noted(tmp_path):
    make_series(tmp_path, count=4)
    make_series(tmp_path, count=3, size=(10, 12), first_number=10)  # as with Rows and Columns swapped
    stacks, ledger = read(tmp_path)
    assert [stack.pixels.shape for stack in stacks] == [(4, 12, 10), (3, 10, 12)]
    assert codes(ledger) == ["series.mixed_sizes", "series.overlap"]


def test_of_repeated_positions_the_first_instance_is_kept(tmp_path):
    make_series(tmp_path, count=5)
    make_series(tmp_path, count=2, first_number=31)
    shutil.copy(tmp_path / "1.dcm", tmp_path / "41.dcm")
    (stack,), ledger = read(tmp_path)
    assert sorted(stack.instance_numbers) == [1, 2, 3, 4, 5]
    assert {(fault.code, fault.file) for fault in ledger} == {
        ("stack.ambiguous", "31.dcm"),  # other pixels: there is no telling which are right
        ("stack.ambiguous", "32.dcm"),
        ("stack.repeated", "41.dcm"),
    }


def test_of_repeated_positions_without_numbers_the_choice_ignores_names(tmp_path):
    for name in ("1", "2", "3"):
        dataset = make_slice_dataset(make_image(int(name)), missing="InstanceNumber")
        write(tmp_path / "a" / f"{name}.dcm", dataset)
    ours, _ = read(tmp_path / "a")
    theirs, _ = read(shuffled(tmp_path / "a", tmp_path / "b", seed=0))
    assert_same_stacks(ours, theirs)
    assert ours[0].instance_numbers.tolist() == [-1]


def test_a_gap_is_noted_and_kept(tmp_path):
    make_series(tmp_path, count=6)
    (tmp_path / "4.dcm").unlink()
    (stack,), ledger = read(tmp_path)
    assert len(stack) == 5
    assert [(fault.code, fault.file) for fault in ledger] == [("stack.gap", "3.dcm")]
    assert stack.step_mm == pytest.approx(4)


def test_one_slice_is_a_stack(tmp_path):
    (stack,), ledger = read(make_series(tmp_path, count=1))
    assert (stack.pixels.shape, len(ledger)) == ((1, 12, 10), 0)


def test_frames_of_a_file_are_a_stack_like_slices_of_many(tmp_path):
    write(tmp_path / "1.dcm", make_enhanced_dataset(frames=5, orientation=AXIAL))
    (stack,), ledger = read(tmp_path)
    assert (stack.pixels.shape, stack.plane, len(ledger)) == ((5, 12, 10), "axial", 0)


def test_an_unreadable_slice_costs_only_itself(tmp_path):
    make_series(tmp_path, count=5)
    write(tmp_path / "2.dcm", make_slice_dataset(missing="ImagePositionPatient"))
    (tmp_path / "5.dcm").write_bytes((tmp_path / "5.dcm").read_bytes()[:-50])
    (tmp_path / "junk.dcm").write_bytes(b"junk")
    stacks, ledger = read(tmp_path, study_id=11, series_id=22)
    assert stacks[0].files == ("4.dcm", "3.dcm", "1.dcm")
    assert [(fault.code, fault.file) for fault in ledger] == [
        ("slice.position", "2.dcm"),
        ("slice.pixels", "5.dcm"),
        ("slice.not_dicom", "junk.dcm"),
        ("stack.gap", "1.dcm"),
        ("series.incomplete", ""),
    ]
    assert {(fault.study_id, fault.series_id) for fault in ledger} == {(11, 22)}


def test_reading_twice_notes_a_fault_once(tmp_path):
    make_series(tmp_path, missing="PixelSpacing")
    ledger = Ledger()
    for _ in range(2):
        assert read_series(tmp_path, ledger) == []
    assert codes(ledger) == ["slice.spacing"] * 5 + ["series.unreadable"]


def test_folders_without_slices(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("no slice")
    (tmp_path / "file").write_text("no folder")
    outcomes = {name: read(tmp_path / name) for name in ("absent", "empty", "other", "file")}
    assert all(stacks == [] for stacks, _ in outcomes.values())
    assert {name: codes(ledger) for name, (_, ledger) in outcomes.items()} == {
        "absent": ["series.missing"],
        "empty": ["series.empty"],
        "other": ["series.empty"],
        "file": ["series.missing"],
    }


def test_a_series_beyond_the_limit_is_read_in_part(tmp_path):
    stacks, ledger = read(make_series(tmp_path, count=5), limits=Limits(series_values=250))
    assert (len(stacks[0]), codes(ledger)) == (3, ["series.too_large"])


def test_a_series_of_more_slices_than_the_limit_is_read_in_part(tmp_path):
    stacks, ledger = read(make_series(tmp_path, count=5), limits=Limits(series_slices=2))
    assert (len(stacks[0]), codes(ledger)) == (3, ["series.too_large"])


@pytest.mark.parametrize("at_once", [(1, 32.0), (3, 32.0), (16, 1e-4)])
def test_threads_and_batches_change_nothing(tmp_path, monkeypatch, at_once):
    make_series(tmp_path, count=7)
    write(tmp_path / "0.dcm", make_slice_dataset(missing="PixelSpacing"))
    (tmp_path / "5.dcm").write_bytes(b"junk")
    (tmp_path / "6.dcm").unlink()
    (tmp_path / "6.dcm").symlink_to(tmp_path / "absent")
    ours, our_ledger = read(tmp_path)
    for name, value in zip(("AT_ONCE", "AT_ONCE_MB"), at_once):
        monkeypatch.setattr(slices, name, value)
    theirs, their_ledger = read(tmp_path, threads=1)
    assert_same_stacks(ours, theirs)
    assert list(our_ledger) == list(their_ledger)
    assert codes(our_ledger) == [
        *("slice.spacing", "slice.not_dicom", "slice.unreadable", "stack.gap", "series.incomplete")
    ]


def test_warnings_of_pydicom_stay_inside(tmp_path):
    folder = make_series(tmp_path, count=4, SpecificCharacterSet="ISO_IR 999")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (stack,), ledger = read(folder)
        assert (len(stack), len(ledger)) == (4, 0)
        with pytest.raises(UserWarning):
            warnings.warn("heard again", stacklevel=1)


def test_rescaling_may_differ_from_slice_to_slice(tmp_path):
    for number in (1, 2):
        position = np.add(FIRST_MM, (number, 0, 0))
        dataset = make_slice_dataset(
            number=number, position=position, RescaleSlope=number, RescaleIntercept=-5
        )
        write(tmp_path / f"{number}.dcm", dataset)
    (stack,), _ = read(tmp_path)
    assert stack.pixels.dtype == np.float32
    for image, number in zip(stack.pixels, (1, 2)):
        np.testing.assert_array_equal(image, make_image(number) * float(number) - 5)


def test_a_file_is_left_as_it_was(tmp_path):
    path = make_series(tmp_path, count=1) / "1.dcm"
    before = path.read_bytes()
    read_file(path)
    assert path.read_bytes() == before


def bare(path, target):
    """A file without preamble and meta information, as some exports leave it."""
    content = path.read_bytes()
    length = int.from_bytes(content[140:144], "little")  # of the meta information, from its first element
    target.write_bytes(content[144 + length :])


def test_files_need_no_ending_and_no_preamble(tmp_path):
    source = make_series(tmp_path / "source")
    for name, strip in {"renamed": False, "bare": True}.items():
        target = tmp_path / name
        target.mkdir()
        for path in source.iterdir():
            bare(path, target / f"IM{path.stem}") if strip else shutil.copy(path, target / f"IM{path.stem}")
        (target / "README").write_text("text, and longer than a preamble\n" * 9)
        ours, ledger = read(target)
        assert_same_stacks(ours, read(source)[0])
        assert len(ledger) == 0


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_file_without_meta_information_is_read_whether_it_has_a_preamble_or_not(tmp_path, syntax):
    make_series(tmp_path / "source", syntax=syntax)
    (tmp_path / "headless").mkdir()
    for path in (tmp_path / "source").iterdir():
        bare(path, tmp_path / "headless" / path.stem)
        content = (tmp_path / "headless" / path.stem).read_bytes()
        (tmp_path / "headless" / path.stem).write_bytes(bytes(128) + b"DICM" + content)
    assert_same_stacks(read(tmp_path / "headless")[0], read(tmp_path / "source")[0])


def test_a_bare_file_in_implicit_representation_is_read(tmp_path):
    make_series(tmp_path / "source", syntax=ImplicitVRLittleEndian)
    (tmp_path / "bare").mkdir()
    for path in (tmp_path / "source").iterdir():
        bare(path, tmp_path / "bare" / path.stem)
    assert_same_stacks(read(tmp_path / "bare")[0], read(tmp_path / "source")[0])


def test_the_files_of_a_series_may_lie_anywhere(tmp_path):
    whole = make_series(tmp_path / "whole")
    (tmp_path / "other").mkdir()
    files = [path.rename(tmp_path / "other" / path.name) for path in sorted(whole.iterdir())[:2]]
    both = [*sorted(whole.iterdir()), *files]
    (stack,), ledger = read(both)
    assert (len(stack), len(ledger)) == (5, 0)
    assert codes(read([])[1]) == ["series.empty"]


def test_slices_of_two_series_share_no_stack(tmp_path):
    """T1 and T2 with the same geometry, in one folder."""
    for series, first_number in (("1.1", 1), ("1.2", 11)):
        make_series(tmp_path, SeriesInstanceUID=series, first_number=first_number)
    stacks, ledger = read(tmp_path)
    assert [stack.instance_numbers.tolist() for stack in stacks] == [[5, 4, 3, 2, 1], [15, 14, 13, 12, 11]]
    assert [(fault.code, fault.detail) for fault in ledger] == [
        ("series.several", "files of 2 series"),
        ("series.overlap", "2 sagittal stacks of one place"),
    ]


def test_a_slice_that_says_to_be_of_another_series_is_told_wherever_it_lies(tmp_path):
    """An axial block of three slices loses its last: no gap shows it."""
    source = make_series(tmp_path, SeriesInstanceUID="1.1", count=3, orientation=AXIAL)
    make_series(source, SeriesInstanceUID="1.1", count=3, orientation=AXIAL, first_number=4, first=(0, 0, 90))
    dataset = pydicom.dcmread(source / "6.dcm")
    dataset.SeriesInstanceUID = "1.7"
    write(source / "6.dcm", dataset)
    stacks, ledger = read(source)
    assert [len(stack) for stack in stacks] == [3, 2, 1]
    assert "series.several" in codes(ledger)


def test_a_slice_that_leaves_its_block_for_a_stack_of_its_own_is_told(tmp_path):
    make_series(tmp_path, count=3, orientation=AXIAL)
    make_series(tmp_path, count=3, orientation=tilted_axial(10), first_number=21, first=(-30, -100, 140))
    _, before = read(tmp_path)
    dataset = pydicom.dcmread(tmp_path / "23.dcm")
    dataset.ImageOrientationPatient[2] += 0.004
    write(tmp_path / "23.dcm", dataset)
    stacks, ledger = read(tmp_path)
    assert [len(stack) for stack in stacks] == [3, 2, 1]
    assert codes(before) == []
    assert [(fault.code, fault.file) for fault in ledger] == [("stack.lone", "23.dcm")]


def test_a_scout_of_another_plane_is_no_second_series_of_this_one(tmp_path):
    make_series(tmp_path, SeriesInstanceUID="1.1")
    make_series(tmp_path, SeriesInstanceUID="1.2", orientation=CORONAL, first_number=11)
    stacks, ledger = read(tmp_path)
    assert [stack.plane for stack in stacks].count("coronal") == 1
    assert codes(ledger) == ["series.several"]


def test_a_slice_that_names_no_series_is_of_the_one_that_the_others_name(tmp_path):
    make_series(tmp_path, SeriesInstanceUID="1.1", **MANY)
    dataset = pydicom.dcmread(tmp_path / "6.dcm")
    del dataset.SeriesInstanceUID
    write(tmp_path / "6.dcm", dataset)
    (stack,), ledger = read(tmp_path)
    assert (len(stack), len(ledger)) == (12, 0)


def test_identifiers_that_only_count_slices_part_nothing(tmp_path):
    for number in range(1, 6):
        source = make_series(tmp_path / "all", SeriesInstanceUID=f"1.{number}")
        shutil.copy(source / f"{number}.dcm", tmp_path / f"{number}.dcm")
    stacks, _ = read(tmp_path)
    assert [len(stack) for stack in stacks] == [5]


MANY = {"count": 12, "size": (40, 40), "spacing": (2.0, 2.0)}


@pytest.mark.parametrize(
    ("change", "lies"),
    [
        ({"orientation": tilted_axial(20)}, "turned"),
        ({"spacing": (1.0, 1.0)}, "finer"),
        ({"ImagePositionPatient": [12.0, -100.0, 18.0]}, "shifted in its plane"),
    ],
)
def test_a_slice_of_another_geometry_in_the_midst_of_a_stack_is_left_out(tmp_path, change, lies):
    make_series(tmp_path, orientation=AXIAL, first=(0, -100, -2), **MANY)
    original = pydicom.dcmread(tmp_path / "6.dcm")
    place = {"position": original.ImagePositionPatient, "orientation": AXIAL, "spacing": (2.0, 2.0)}
    write(tmp_path / "6.dcm", make_slice_dataset(make_image(6, (40, 40)), number=6, **(place | change)))
    (stack,), ledger = read(tmp_path)
    assert (len(stack), 6 in stack.instance_numbers) == (11, False), lies
    assert [(fault.code, fault.file) for fault in ledger] == [
        ("stack.gap", "7.dcm"),
        ("stack.apart", "6.dcm"),
    ]


@pytest.mark.parametrize(("columns", "rows"), [(True, True), (True, False), (False, True)])
def test_blocks_of_as_many_slices_come_in_one_order_however_they_are_stored(tmp_path, columns, rows):
    """Rounded directions must not decide: the left-right part of these normals is next to nothing."""
    for block, lean in enumerate((3e-6, -3e-6, 1e-6)):
        orientation = (1.0, 0.0, lean, *tilted_axial(20 - 15 * block)[3:])
        first = (0, 0, 40.0 * block)
        make_series(
            tmp_path / "plain", count=3, orientation=orientation, first=first, first_number=1 + 10 * block
        )
    (tmp_path / "turned").mkdir()
    for path in (tmp_path / "plain").iterdir():
        dataset = pydicom.dcmread(path)
        turned(dataset, columns=columns, rows=rows)
        cosines = [round(float(value), 5) for value in dataset.ImageOrientationPatient]
        dataset.ImageOrientationPatient = cosines
        write(tmp_path / "turned" / path.name, dataset)
    plain, _ = read(tmp_path / "plain")
    again, _ = read(tmp_path / "turned")
    assert [stack.files for stack in again] == [stack.files for stack in plain]


def test_a_small_block_between_blocks_of_another_tilt_is_kept_and_not_doubted(tmp_path):
    block = {"size": (40, 40), "spacing": (2.0, 2.0)}
    for place, (degrees, count) in enumerate([(0, 8), (12, 5), (0, 8)]):
        first = (0, -100, 40.0 * place)
        first_number = 1 + 10 * place
        options = {"orientation": tilted_axial(degrees), "first": first, "first_number": first_number}
        make_series(tmp_path, count=count, **options, **block)
    stacks, ledger = read(tmp_path)
    assert [len(stack) for stack in stacks] == [16, 5]
    assert codes(ledger) == ["stack.gap"]


def test_a_small_block_of_another_tilt_beside_slices_through_all_discs_is_kept_and_no_doubt(tmp_path):
    whole = {"orientation": AXIAL, "first": (0, -100, 0)}
    make_series(tmp_path, **whole, **(MANY | {"count": 20}))
    tilted = {"orientation": tilted_axial(12), "first": (0, -100, 0), "first_number": 31}
    make_series(tmp_path, **tilted, **(MANY | {"count": 4}))
    stacks, ledger = read(tmp_path)
    assert [len(stack) for stack in stacks] == [20, 4]
    assert codes(ledger) == []


@pytest.mark.parametrize("position", [(2000, 2000, 2000), (-46, 900, 50)])
def test_a_slice_at_the_end_that_lies_two_metres_off_is_left_out_and_told(tmp_path, position):
    """No gap shows it, and next to the others it would be a separate stack."""
    series = make_series(tmp_path, count=5)
    write(series / "5.dcm", make_slice_dataset(position=position, number=5))
    ledger = Ledger()
    (stack,) = read_series(series, ledger)
    assert len(stack) == 4
    assert [(fault.code, fault.file) for fault in ledger if fault.file] == [("slice.position", "5.dcm")]


def test_a_slice_that_lies_where_no_stack_reaches_is_left_out(tmp_path):
    make_series(tmp_path, **MANY)
    far = {"position": (900, -100, 50), "spacing": MANY["spacing"], "number": 12}
    write(tmp_path / "12.dcm", make_slice_dataset(make_image(12, (40, 40)), **far))
    (stack,), ledger = read(tmp_path)
    assert len(stack) == 11
    assert codes(ledger) == ["slice.position"]


@pytest.mark.parametrize(
    ("orientation", "step_mm", "is_read"),
    [(SAGITTAL, 45.0, False), (SAGITTAL, 8.0, True), (AXIAL, 65.0, False), (AXIAL, 36.0, True)],
)
def test_slices_that_lie_farther_apart_than_anybody_acquires_them_are_left_out(
    tmp_path, orientation, step_mm, is_read
):
    stacks, ledger = read(make_series(tmp_path, orientation=orientation, step_mm=step_mm))
    assert [len(stack) for stack in stacks] == ([5] if is_read else [])
    assert codes(ledger) == ([] if is_read else ["slice.spacing"] * 5 + ["series.incomplete"])


def test_two_slices_that_are_left_of_many_may_lie_far_apart(tmp_path):
    (stack,), _ = read(make_series(tmp_path, count=2, step_mm=45.0))
    assert len(stack) == 2


@pytest.mark.parametrize(("lost", "is_reported"), [(2, False), (4, True), (11, True)])
def test_a_series_that_has_lost_a_good_part_says_so(tmp_path, lost, is_reported):
    make_series(tmp_path, **MANY)
    for number in range(1, 1 + lost):
        (tmp_path / f"{number}.dcm").write_bytes(b"junk")
    _, ledger = read(tmp_path)
    details = [fault.detail for fault in ledger if fault.code == "series.incomplete"]
    assert details == ([f"{12 - lost} of 12 slices can be used"] if is_reported else [])


def test_frames_that_are_lost_count_as_slices_do(tmp_path):
    dataset = make_enhanced_dataset(frames=8)
    for index in (1, 2, 3):
        del dataset.PerFrameFunctionalGroupsSequence[index].PlanePositionSequence
    write(tmp_path / "1.dcm", dataset)
    _, ledger = read(tmp_path)
    assert codes(ledger)[-1] == "series.incomplete"
    assert list(ledger)[-1].detail == "5 of 8 slices can be used"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "PatientID"])
def test_slices_of_another_patient_are_left_out_by_file(tmp_path, keyword):
    make_series(tmp_path, count=5, **{keyword: "1.1"})
    make_series(tmp_path, count=2, first=(60, -100, 50), first_number=11, **{keyword: "1.22"})
    (stack,), ledger = read(tmp_path)
    assert len(stack) == 5
    assert [(fault.code, fault.file) for fault in ledger] == [
        ("slice.stranger", "11.dcm"),
        ("slice.stranger", "12.dcm"),
    ]
    assert "1.22" not in str(list(ledger))


def test_where_no_study_has_most_slices_all_are_kept_and_doubted(tmp_path):
    make_series(tmp_path, count=4, StudyInstanceUID="1.1")
    make_series(tmp_path, count=4, first_number=11, first=(60, -100, 50), StudyInstanceUID="1.2")
    stacks, ledger = read(tmp_path)
    assert sum(map(len, stacks)) == 8
    assert "series.strangers" in codes(ledger)


def test_studies_that_only_count_slices_tell_nothing(tmp_path):
    for number in range(1, 6):
        make_series(
            tmp_path, count=1, first=(4 * number, 0, 0), first_number=number, StudyInstanceUID=f"1.{number}"
        )
    (stack,), ledger = read(tmp_path)
    assert (len(stack), len(ledger)) == (5, 0)


def test_scouts_of_the_plane_of_a_series_are_no_part_of_it(tmp_path):
    make_series(tmp_path, SeriesInstanceUID="1.1", **MANY)
    scouts = {"count": 3, "step_mm": 15.0, "size": (40, 40), "spacing": (3.3, 3.3), "first_number": 201}
    make_series(tmp_path, SeriesInstanceUID="1.2", **scouts)
    (stack,), ledger = read(tmp_path)
    assert len(stack) == 12
    assert [(fault.code, fault.file) for fault in ledger] == [
        ("series.several", ""),
        *[("stack.apart", f"{number}.dcm") for number in (203, 202, 201)],  # from right to left
    ]


@pytest.mark.parametrize(("away_mm", "is_reported"), [(36, True), (44, False)])
@pytest.mark.parametrize("towards", [(0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
def test_stacks_overlap_where_the_middle_of_one_lies_in_the_images_of_the_other(
    tmp_path, towards, away_mm, is_reported
):
    images = {"count": 3, "size": (80, 80), "spacing": (1, 1)}
    make_series(tmp_path, **images)
    make_series(tmp_path, first=np.add(FIRST_MM, away_mm * np.array(towards)), first_number=11, **images)
    stacks, ledger = read(tmp_path)
    assert [len(stack) for stack in stacks] == [3, 3]
    assert ("series.overlap" in codes(ledger)) == is_reported
