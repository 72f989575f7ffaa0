"""Read from a header how its image was acquired, and to which series and study it belongs.

Identifiers and descriptions are patient data: they are compared and searched, and appear in no message.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.tag import Tag

from kitlib.errors import SliceError
from kitlib.mri.dicom.header import LIMITS, Limits, classified, open_dataset
from kitlib.mri.dicom.plain import plain_dataset, value_of

USUAL_HEADER_BYTES = 2**16  # enough to reach the pixels of most files, which are then not read
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
MACROS = (
    "MRImageFrameTypeSequence",
    "MRTimingAndRelatedParametersSequence",
    "MREchoSequence",
    "MRModifierSequence",
    "MRDiffusionSequence",
)
NAMES = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "AcquisitionContrast")
WANTED = frozenset(
    Tag(keyword)
    for keyword in (
        *("StudyInstanceUID", "PatientID", "SeriesInstanceUID", "Rows", "ImageType", "ScanningSequence"),
        *("RepetitionTime", "EchoTime", "EffectiveEchoTime", "InversionTime", "InversionTimes"),
        *("ContrastBolusAgent", "DiffusionBValue", *NAMES, *GROUPS, *MACROS),
    )
)


@dataclass(frozen=True, repr=False)
class Tags:
    """The tags of one file; missing ones are empty, missing times NaN."""

    study_uid: str = ""
    patient_id: str = ""
    series_uid: str = ""
    is_image: bool = True
    words: str = ""  # lower case: the names of the series and its sequence
    kinds: frozenset[str] = frozenset()  # the parts of ImageType
    repetition_ms: float = float("nan")
    echo_ms: float = float("nan")
    inversion_ms: float = float("nan")
    is_gradient_echo: bool = False
    has_agent: bool = False
    is_diffusion: bool = False


def read_tags(path: Path, limits: Limits = LIMITS) -> Tags:
    """Read the tags of a file, not its pixels; raises SliceError if it cannot be opened."""
    try:
        if not path.is_file() or path.stat().st_size > limits.file_mb * 1e6:
            raise SliceError("slice.unreadable", "this is no file, or a file too large")
        with open(path, "rb") as file:
            content = file.read(USUAL_HEADER_BYTES)
            if plain_dataset(content, WANTED) is None:
                content += file.read()
    except OSError as error:
        what = f"the file cannot be opened: {type(error).__name__}"
        raise SliceError("slice.unreadable", what) from None
    dataset, _, _ = open_dataset(content, WANTED)
    sources = list(_sources(dataset))
    kinds = frozenset(part.upper() for part in _texts(sources, ["ImageType", "FrameType"]))
    scanning = {part.upper() for part in _texts(sources, ["ScanningSequence"])}
    return Tags(
        study_uid=" ".join(_texts([dataset], ["StudyInstanceUID"])),
        patient_id=" ".join(_texts([dataset], ["PatientID"])),
        series_uid=" ".join(_texts([dataset], ["SeriesInstanceUID"])),
        is_image="Rows" in dataset,
        words=re.sub(r"[\W_]+", " ", " ".join(_texts(sources, NAMES)).lower()),
        kinds=kinds,
        repetition_ms=_number(sources, ["RepetitionTime"]),
        echo_ms=_number(sources, ["EffectiveEchoTime", "EchoTime"]),
        inversion_ms=_number(sources, ["InversionTimes", "InversionTime"]),
        is_gradient_echo="GR" in scanning,
        has_agent=bool(_texts([dataset], ["ContrastBolusAgent"])),
        is_diffusion=_number(sources, ["DiffusionBValue"]) > 0,
    )


def _sources(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the dataset and the acquisition items of its functional groups, shared and of the first frame."""
    yield dataset
    for name in GROUPS:
        for group in _items(dataset, name):
            for macro in MACROS:
                yield from _items(group, macro)


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    return [item for item in _values(dataset, keyword)[:1] if isinstance(item, Dataset)]


def _texts(sources: Collection[Dataset], keywords: Collection[str]) -> list[str]:
    return [
        text
        for source in sources
        for keyword in keywords
        for value in _values(source, keyword)
        if (text := str(value).strip())
    ]


def _number(sources: Collection[Dataset], keywords: Collection[str]) -> float:
    """The first number found; NaN if there is none."""
    for text in _texts(sources, keywords):
        try:
            return float(text)
        except ValueError:
            continue
    return float("nan")


def _values(dataset: Dataset, keyword: str) -> list[Any]:
    """The values of a tag; [] if it is absent, empty or cannot be decoded."""
    try:
        with classified("slice.header", keyword):
            value = value_of(dataset, keyword)
            if value is None or isinstance(value, str):
                return [value] if value else []
            try:
                return list(value)
            except TypeError:
                return [value]
    except SliceError:
        return []
