"""The process that decodes compressed frames, with limits on time and memory per file.

`decoder.py` starts it and communicates with it. Exceeding a limit, or a crash of a decoder, ends only this
process; it also ends when its parent is gone.
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
    """What to decode, and the limits; the frames follow it."""

    header: Header
    is_for_itk: bool
    processor_s: float
    memory_mb: float

    def to_json(self) -> bytes:
        """The job as JSON text."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(text: bytes) -> "Job":
        """The inverse of `to_json`."""
        fields = json.loads(text)
        header = fields.pop("header")
        header["transfer_syntax"] = UID(header["transfer_syntax"])
        return Job(Header(**header), **fields)


@dataclass(frozen=True)
class Reply:
    """The outcome of a job; the values follow it if there is no error."""

    error: str = ""
    type: str = ""  # of the values, as numpy writes it

    def to_json(self) -> bytes:
        """The reply as JSON text."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(text: bytes) -> "Reply":
        """The inverse of `to_json`."""
        return Reply(**json.loads(text))


def serve(descriptor: int) -> None:
    """Decode what arrives through a connection until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the process that waits for this one
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with contextlib.suppress(EOFError, OSError), Connection(descriptor) as connection:
        while True:
            job = Job.from_json(connection.recv_bytes())
            frames = [connection.recv_bytes() for _ in range(job.header.frames)]
            reply, values = _decoded(job, frames)
            connection.send_bytes(reply.to_json())
            if not reply.error:
                connection.send_bytes(values.data.cast("B"))
    os._exit(0)  # skips what libraries do at exit


def _decoded(job: Job, frames: list[bytes]) -> tuple[Reply, np.ndarray]:
    encoded = encapsulate(frames, has_bot=False)
    if job.is_for_itk:
        import SimpleITK  # noqa: F401  (before the limits of the first file apply)
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
    """Limit the next job: SIGPROF, which is not caught, ends the process when its time is up."""
    signal.setitimer(signal.ITIMER_PROF, processor_s)
    with contextlib.suppress(OSError, ValueError):  # the file exists only on Linux
        used = int(MEMORY.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = used + int(memory_mb * 1e6)
        resource.setrlimit(
            resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most)
        )
