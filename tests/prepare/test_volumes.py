from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kitlib.artefacts import is_complete
from kitlib.errors import ArtefactError
from kitlib.mri.ledger import Ledger
from kitlib.mri.reading import read_study
from kitlib.mri.series import read_series
from kitlib.mri.stack import Stack
from kitlib.prepare import volumes
from kitlib.prepare.volumes import VolumeCache, prepare
from tests.mri import builders as dicom
from tests.prepare.builders import make_series, make_stack

PX = 16


@pytest.fixture
def series(tmp_path: Path) -> pd.DataFrame:
    """Two studies: the first complete, with scouts in its axial series; the second lacks a folder."""
    table = make_series(2)
    table["folder"] = [str(tmp_path / "images" / str(one)) for one in table["series_id"]]
    for folder in map(Path, table["folder"][:-1]):
        dicom.make_series(folder, count=3, size=(40, 30))
    dicom.make_series(
        Path(table["folder"][2]), count=2, orientation=dicom.AXIAL, first_number=9, size=(20, 20)
    )
    return table


def assert_equal(one: list[Stack], other: list[Stack]) -> None:
    assert len(one) == len(other)
    for left, right in zip(one, other):
        assert left.geometry() == right.geometry()
        assert np.array_equal(left.pixels, right.pixels)


def test_prepared_stacks_are_small_grey_and_where_they_were() -> None:
    stack = make_stack(shape=(3, 80, 60))
    before = stack.pixels.copy()
    (small,) = prepare([stack], PX)
    assert small.pixels.dtype == np.uint8
    assert small.pixels.shape == (3, 16, 12)
    assert small.centres_mm == pytest.approx(stack.centres_mm)
    assert np.array_equal(stack.pixels, before)
    assert prepare([], PX) == []


@pytest.mark.parametrize("plane", ["sagittal", "axial"])
@pytest.mark.parametrize("how", [{"swapped": True}, {"flip_columns": True}, {"flip_rows": True}])
def test_images_stored_turned_or_mirrored_are_prepared_alike(plane: str, how: dict[str, bool]) -> None:
    stack = make_stack(plane, shape=(5, 200, 160))  # with more pixels than percentiles are computed from
    (expected,), (found,) = prepare([stack], PX), prepare([stack.laid_out(**how)], PX)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    np.testing.assert_allclose(found.origins_mm, expected.origins_mm, atol=1e-9)


def test_the_cache_holds_what_streaming_sees(tmp_path: Path, series: pd.DataFrame) -> None:
    cache = VolumeCache(tmp_path / "cache", longest_px=PX)
    cache.build(series)
    for study_id, rows in series.groupby("study_id"):
        study = read_study(study_id, rows, Ledger(), prepare=partial(prepare, longest_px=PX))
        for one in study.series:
            assert_equal(cache.stacks(study_id, one.series_id), list(one.stacks))
    assert [stack.plane for stack in cache.stacks(1, 12)] == ["axial"]
    assert cache.stacks(2, 22) == []


def test_processes_make_the_same_cache(tmp_path: Path, series: pd.DataFrame) -> None:
    caches = [VolumeCache(tmp_path / str(workers), longest_px=PX) for workers in (1, 2)]
    ledgers = [cache.build(series, workers=workers) for workers, cache in enumerate(caches, start=1)]
    assert list(ledgers[0]) == list(ledgers[1])
    for study_id, series_id in series[["study_id", "series_id"]].itertuples(index=False):
        assert_equal(*(cache.stacks(study_id, series_id) for cache in caches))


def test_a_killed_build_goes_on_and_tells_the_same_faults(
    tmp_path: Path, series: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(VolumeCache(tmp_path / "whole", longest_px=PX).build(series))
    cache = VolumeCache(tmp_path / "cache", longest_px=PX)
    made: list[int] = []

    def read(folder: Path, ledger: Ledger, *, series_id: int, **options) -> list[Stack]:
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(series_id)
        return read_series(folder, ledger, series_id=series_id, **options)

    monkeypatch.setattr(volumes, "read_series", read)
    with pytest.raises(KeyboardInterrupt):
        cache.build(series)
    (cache.folder / "1" / "10.npy.json").unlink()  # as if killed between writing the array and its sidecar
    assert not is_complete(cache.folder / "1" / "10.npy")
    made.clear()
    assert list(cache.build(series)) == whole
    assert made == [10, 21, 22]
    made.clear()
    assert list(cache.build(series)) == whole
    assert made == []


def test_faults_name_series_and_the_rows_of_a_missing_sequence(tmp_path: Path, series: pd.DataFrame) -> None:
    table = VolumeCache(tmp_path / "cache", longest_px=PX).build(series).table()
    assert table.query("code == 'series.missing'")["series_id"].tolist() == [22]
    (rows,) = table.query("code == 'study.sequence' and study_id == 2")["row_ids"]
    assert len(rows.split()) == 10
    assert "2_left_subarticular_stenosis_l1_l2" in rows


@pytest.mark.parametrize("change", ["files", "size"])
def test_a_series_is_prepared_again_when_its_files_or_the_size_change(
    tmp_path: Path, series: pd.DataFrame, change: str
) -> None:
    cache = VolumeCache(tmp_path / "cache", longest_px=PX)
    cache.build(series)
    before = [cache.fingerprint(1, 10), cache.fingerprint(1, 11)]
    if change == "files":
        (Path(series["folder"][0]) / "3.dcm").unlink()
    else:
        cache = VolumeCache(tmp_path / "cache", longest_px=8)
    cache.build(series)
    assert [cache.fingerprint(1, 10) == before[0], cache.fingerprint(1, 11) == before[1]] == [
        False,
        change == "files",
    ]


def test_a_folder_that_cannot_be_read_costs_its_series(
    tmp_path: Path, series: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, real = series["folder"][0], type(tmp_path).iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        if str(folder) == locked:
            raise PermissionError(13, "no", locked)
        return real(folder)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    ledger = VolumeCache(tmp_path / "cache", longest_px=PX).build(series)
    first = next(iter(ledger))
    assert (first.code, first.series_id) == ("series.missing", series["series_id"][0])


def test_what_was_not_built_is_an_error_not_an_empty_series(tmp_path: Path) -> None:
    cache = VolumeCache(tmp_path, longest_px=PX)
    with pytest.raises(ArtefactError):
        cache.stacks(1, 1)
    assert (
        len(cache.build(make_series(0).reindex(columns=["study_id", "series_id", "sequence", "folder"]))) == 0
    )
