"""Decode compressed frames in separate processes: a crash, a hang or excessive memory costs only one file.

Processes are started on first use, one for each decoding thread, and kept. They share only a socket with this
one, so no shared memory is needed, and nothing that they send is executed.
"""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import ProcessError
from multiprocessing.connection import Pipe
from pathlib import Path

import numpy as np

import kitlib
from kitlib.errors import SliceError
from kitlib.mri.dicom.header import Header
from kitlib.mri.dicom.streams import Streams
from kitlib.mri.dicom.worker import Job, Reply

START = """
import sys
sys.path[:] = sys.argv[2:]
from kitlib.mri.dicom.worker import serve
serve(int(sys.argv[1]))
"""
THREADS = ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Limits for a file: about ten times what the slowest decoder takes for an image of its size.
PROCESSOR_S, PROCESSOR_S_A_VALUE = 0.5, 5e-6
MEMORY_MB, MEMORY_BYTES_A_VALUE = 64.0, 32
# Limits in wall time, on a machine that may be busy: they end a decoder that sleeps.
PATIENCE_S, PATIENCE = 30.0, 20
TO_END_S = 0.5
LONGEST_REPLY_BYTES = 1000
VALUE_TYPES = frozenset(np.dtype(kind).str for kind in ("u1", "i1", "u2", "i2", "u4", "i4"))


class Ended(Exception):
    """The decoding process has ended; `is_late` if it exceeded its time."""

    def __init__(self, what: str, *, is_late: bool) -> None:
        super().__init__(what)
        self.what, self.is_late = what, is_late


class Decoder:
    """A process that decodes files one after another."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        path = [*map(str, sys.path), str(Path(kitlib.__file__).parents[1])]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-W", "ignore", "-c", START, str(theirs.fileno()), *path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **dict.fromkeys(THREADS, "1")},
            )
        self.files = 0  # decoded so far

    def decode(self, job: Job, frames: Sequence[bytes]) -> np.ndarray:
        """Decode the values (frames, rows, columns); raises SliceError if that fails.

        After any other error, the process must not be used again.
        """
        connection = self._connection
        connection.send_bytes(job.to_json())
        for frame in frames:
            connection.send_bytes(frame)
        if not connection.poll(PATIENCE_S + PATIENCE * job.processor_s):
            raise TimeoutError
        reply = Reply.from_json(connection.recv_bytes(LONGEST_REPLY_BYTES))
        self.files += 1
        if reply.error == MemoryError.__name__:
            raise SliceError("slice.pixels", f"to decode the pixels takes more than {job.memory_mb:.0f} MB")
        if reply.error:
            raise SliceError("slice.pixels", f"the pixels do not decode: {reply.error}")
        if reply.type not in VALUE_TYPES:
            raise SliceError("slice.pixels", "the pixels decode to other than integers")
        values = np.empty((job.header.frames, job.header.rows, job.header.columns), reply.type)
        if connection.recv_bytes_into(values.data.cast("B")) != values.nbytes:
            raise EOFError
        return values

    def end(self) -> int:
        """End the process and return its exit status: minus the signal number if a signal ended it."""
        self._connection.close()
        try:
            return self._process.wait(TO_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def forget(self) -> None:
        """Leave the process to the parent from which this one was forked."""
        self._process.returncode = 0
        self._connection.close()


def decoded(header: Header, streams: Streams) -> np.ndarray:
    """Decode the values (frames, rows, columns) of compressed frames.

    Raises SliceError if that fails, or takes more time or memory than such an image may.
    """
    count = header.frames * header.rows * header.columns
    job = Job(
        header,
        streams.is_for_itk,
        processor_s=PROCESSOR_S + PROCESSOR_S_A_VALUE * count,
        memory_mb=MEMORY_MB + MEMORY_BYTES_A_VALUE * count / 1e6,
    )
    try:
        try:
            return _decoded_by(_idle.pop(), job, streams.frames)
        except IndexError:
            pass
        except Ended as end:  # an earlier file may have damaged it
            if end.is_late:
                raise
        return _decoded_by(Decoder(), job, streams.frames)
    except Ended as end:
        raise SliceError("slice.pixels", end.what) from None
    except OSError as error:
        what = f"no process can be started to decode the pixels: {type(error).__name__}"
        raise SliceError("slice.pixels", what) from None


def _decoded_by(decoder: Decoder, job: Job, frames: Sequence[bytes]) -> np.ndarray:
    """Decode frames in a process, which is kept for the next file if it is still usable."""
    try:
        done = decoder.decode(job, frames)
    except SliceError:
        _idle.append(decoder)
        raise
    except BaseException as error:
        status = decoder.end()
        if isinstance(error, TimeoutError) or status == -signal.SIGPROF:
            what = f"to decode the pixels takes more than {job.processor_s:.1f} s"
            raise Ended(what, is_late=True) from None
        if isinstance(error, (EOFError, OSError, ProcessError, ValueError)):
            raise Ended(f"the decoder of the pixels crashed (status {status})", is_late=False) from None
        raise
    _idle.append(decoder)
    return done


_idle: list[Decoder] = []


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _forget_all() -> None:
    while _idle:
        _idle.pop().forget()


os.register_at_fork(after_in_child=_forget_all)
