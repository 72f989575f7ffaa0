"""The process in which compressed frames are decoded, with a limit on the time and the memory of each file.

`decoder.py` starts it and talks to it. A limit that is passed, or a decoder that crashes, ends this process
and no other; when the one that started it is gone, it ends by itself.
"""

import contextlib
import json
import os
import resource
import signal
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from kitlib.mri.dicom.codecs import decoded_by_itk, decoded_by_pydicom
from kitlib.mri.dicom.header import Header

MEMORY = Path("/proc/self/statm")


@dataclass(frozen=True)
class Job:
    """What is to be decoded, and what that may take; the frames follow it."""

    header: Header
    is_for_itk: bool
    processor_s: float
    memory_mb: float

    def to_json(self) -> bytes:
        """The job as text."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(text: bytes) -> "Job":
        """The job of a text."""
        fields = json.loads(text)
        header = fields.pop("header")
        header["transfer_syntax"] = UID(header["transfer_syntax"])
        return Job(Header(**header), **fields)


@dataclass(frozen=True)
class Reply:
    """What became of a job; the values follow it where there is no error."""

    error: str = ""
    type: str = ""  # of the values, as numpy writes it

    def to_json(self) -> bytes:
        """The reply as text."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(text: bytes) -> "Reply":
        """The reply of a text."""
        return Reply(**json.loads(text))


def serve(descriptor: int) -> None:
    """Decode what comes through a connection until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the key is meant for the one that waits for this process
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with contextlib.suppress(EOFError, OSError), Connection(descriptor) as connection:
        while True:
            job = Job.from_json(connection.recv_bytes())
            frames = [connection.recv_bytes() for _ in range(job.header.frames)]
            reply, values = _decoded(job, frames)
            connection.send_bytes(reply.to_json())
            if not reply.error:
                connection.send_bytes(values.data.cast("B"))
    os._exit(0)  # what libraries do at exit is of no use here


def _decoded(job: Job, frames: list[bytes]) -> tuple[Reply, np.ndarray]:
    encoded = encapsulate(frames, has_bot=False)
    if job.is_for_itk:
        import SimpleITK  # noqa: F401  (not within the limits of the first file)
    _limit(job.processor_s, job.memory_mb)
    try:
        decode = decoded_by_itk if job.is_for_itk else decoded_by_pydicom
        values = np.ascontiguousarray(decode(job.header, encoded))
        return Reply(type=values.dtype.str), values
    except Exception as error:
        return Reply(error=type(error).__name__), np.empty(0)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit(processor_s: float, memory_mb: float) -> None:
    """Let the next job take so much: SIGPROF, which nobody catches, ends the process when its time is up."""
    signal.setitimer(signal.ITIMER_PROF, processor_s)
    with contextlib.suppress(OSError, ValueError):  # no such file but on Linux
        used = int(MEMORY.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = used + int(memory_mb * 1e6)
        resource.setrlimit(
            resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most)
        )
