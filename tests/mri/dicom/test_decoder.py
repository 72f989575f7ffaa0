"""A decoder's crash, hang or memory use costs one file, and its process ends with its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom.encaps import generate_frames

from kitlib.errors import SliceError
from kitlib.mri.dicom import decoder
from kitlib.mri.dicom.header import LIMITS, Header, judge
from kitlib.mri.dicom.streams import Streams
from tests.mri.builders import make_compressed_dataset, make_series, read_file, write
from tests.mri.dicom.fuzz import smooth_image

ROOT = Path(__file__).parents[3]
IMAGE = smooth_image()


@pytest.fixture(autouse=True)
def none_before() -> Iterator[None]:
    """Start without decoder processes of other tests."""
    decoder._end_all()
    yield
    decoder._end_all()


def encoded(codec: str, folder: Path, image: np.ndarray = IMAGE) -> tuple[Header, bytes]:
    """The header and the stream of a slice."""
    dataset = make_compressed_dataset(image, codec, folder)
    header = judge(dataset, dataset.file_meta.TransferSyntaxUID, LIMITS)
    return header, next(generate_frames(dataset.PixelData, number_of_frames=1))


def crashing(folder: Path) -> tuple[Header, Streams]:
    """A stream that crashes the decoder: an RLE header of 65,538 segments, given to GDCM."""
    header, frame = encoded("RLE", folder)
    return header, Streams([frame[:2] + b"\1" + frame[3:]], is_for_itk=True)


def good(folder: Path) -> tuple[Header, Streams]:
    header, frame = encoded("JPEG", folder)
    return header, Streams([frame], is_for_itk=True)


def pids() -> list[int]:
    return [child.pid for child in psutil.Process().children() if "serve" in " ".join(child.cmdline())]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # where nothing notices that it ended
    except psutil.NoSuchProcess:
        return False


def test_a_process_decodes_one_file_after_the_other(tmp_path: Path) -> None:
    assert pids() == []
    for _ in range(3):
        np.testing.assert_array_equal(decoder.decoded(*good(tmp_path))[0], IMAGE)
        (pid,) = pids()
    decoder._end_all()
    assert not psutil.pid_exists(pid)


def test_what_is_not_compressed_or_safe_starts_no_process(tmp_path: Path) -> None:
    for path in make_series(tmp_path).iterdir():
        assert read_file(path)[0]
    assert read_file(write(tmp_path / "rle.dcm", make_compressed_dataset(IMAGE, "RLE", tmp_path)))[0]
    assert pids() == []


def test_a_crash_costs_one_file(tmp_path: Path) -> None:
    with pytest.raises(SliceError, match="crashed") as caught:
        decoder.decoded(*crashing(tmp_path))
    assert caught.value.code == "slice.pixels"
    assert pids() == []
    np.testing.assert_array_equal(decoder.decoded(*good(tmp_path))[0], IMAGE)


def test_a_good_file_outlives_a_process_that_an_earlier_one_harmed(tmp_path: Path) -> None:
    decoder.decoded(*good(tmp_path))
    (pid,) = pids()
    os.kill(pid, signal.SIGSEGV)
    np.testing.assert_array_equal(decoder.decoded(*good(tmp_path))[0], IMAGE)
    assert pids() not in ([], [pid])


def test_too_much_time_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = np.random.default_rng(0).integers(0, 4000, (1024, 1024), dtype=np.uint16)
    header, frame = encoded("JPEG2000", tmp_path, large)
    decoder.decoded(*good(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "PROCESSOR_S", 0.02)
        patch.setattr(decoder, "PROCESSOR_S_A_VALUE", 0)
        with pytest.raises(SliceError, match="takes more than"):
            decoder.decoded(header, Streams([frame], is_for_itk=False))
    np.testing.assert_array_equal(decoder.decoded(header, Streams([frame], is_for_itk=False))[0], large)


def test_a_decoder_that_sleeps_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder.decoded(*good(tmp_path))
    (pid,) = pids()
    os.kill(pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(decoder, "PATIENCE_S", 0.1)
        patch.setattr(decoder, "PATIENCE", 0)
        with pytest.raises(SliceError, match="takes more than"):
            decoder.decoded(*good(tmp_path))
    assert not psutil.pid_exists(pid)
    np.testing.assert_array_equal(decoder.decoded(*good(tmp_path))[0], IMAGE)


def test_too_much_memory_costs_one_file(tmp_path: Path) -> None:
    header, streams = good(tmp_path)
    start = streams.frames[0].index(b"\xff\xc3")
    frame = streams.frames[0][: start + 5] + b"\xff\xff\xff\xff" + streams.frames[0][start + 9 :]
    with pytest.raises(SliceError):
        decoder.decoded(header, replace(streams, frames=[frame]))  # of 65,535 rows and columns
    np.testing.assert_array_equal(decoder.decoded(header, streams)[0], IMAGE)


def test_threads_have_a_process_each(tmp_path: Path) -> None:
    header, streams = good(tmp_path)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: decoder.decoded(header, streams), range(30)))
    assert all((values[0] == IMAGE).all() for values in found)
    assert 1 <= len(pids()) <= 3


def test_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(SliceError, match="no process can be started"):
        decoder.decoded(*good(tmp_path))


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from multiprocessing import get_context
from joblib import Parallel, delayed
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series

def read(folder):
    (stack,) = read_series(Path(folder), ledger := Ledger())
    assert len(ledger) == 0
    return float(stack.pixels.sum())

if __name__ == "__main__":
    import psutil
    folder, how = sys.argv[1:]
    first = read(folder)
    if how == "fork":
        with get_context("fork").Pool(2) as pool:
            assert pool.map(read, [folder] * 6) == [first] * 6
    elif how == "joblib":
        assert Parallel(n_jobs=2)(delayed(read)(folder) for _ in range(4)) == [first] * 4
    assert read(folder) == first
    children = psutil.Process().children()
    print(*(child.pid for child in children if "serve" in " ".join(child.cmdline())), flush=True)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ends", "killed", "fork", "joblib"])
def test_processes_end_with_the_one_that_they_work_for(tmp_path: Path, how: str) -> None:
    write(tmp_path / "series" / "1.dcm", make_compressed_dataset(IMAGE, "JPEG2000", tmp_path))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(tmp_path / "series"), how],
        capture_output=True, text=True, timeout=100, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == (-signal.SIGKILL if how == "killed" else 0), done.stderr
    assert done.stdout.split()
    until = time.monotonic() + 10
    while any(map(is_running, map(int, done.stdout.split()))):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_no_message_holds_what_a_file_says(tmp_path: Path) -> None:
    header, frame = encoded("JPEG", tmp_path)
    with pytest.raises(SliceError) as caught:
        decoder.decoded(header, Streams([b"SECRET" + frame], is_for_itk=True))
    assert "SECRET" not in str(caught.value)
