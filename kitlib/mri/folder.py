"""Find the DICOM files of a study in any folder, at any depth and under any name, and group them by series.

Content decides; folders only number the series and group files whose headers name none.
"""

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from kitlib.errors import DataError, SliceError
from kitlib.mri.dicom.tags import Tags, read_tags
from kitlib.mri.ledger import Fault
from kitlib.mri.series import is_dicom
from kitlib.terms import number_of

DEPTH = 8  # folders below the given one
MOST_FILES = 20_000  # that are examined: some ten times a large study
FEW_SERIES = 3  # in a lumbar spine study; two series that each name a study may be two patients' scans
UNREAD = "left unread"


@dataclass(frozen=True)
class Listing:
    """The series of one study, and what else was in the folder."""

    study_uid: str  # "" if unknown; for comparison only, never shown
    series: Mapping[int, tuple[Path, ...]]  # files by id: the name of their own folder, or counted from 1
    faults: tuple[Fault, ...]


def list_folder(folder: Path) -> Listing:
    """List the series of the study in a folder; of several studies, the one with most images.

    Links are followed once and hidden files are skipped. Raises DataError if the folder cannot be read or
    holds no DICOM file.

    >>> list(list_folder(Path("competition/test_images/11")).series)
    [111, 112, 113]
    """
    faults: list[Fault] = []
    _refuse_unreadable(folder)
    paths = list(islice(_files(folder, faults), MOST_FILES + 1))
    if len(paths) > MOST_FILES:
        faults.append(Fault("folder.too_many", UNREAD, detail=f"files after the first {MOST_FILES}"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings do not matter here
        tagged = {path: tags for path in sorted(paths[:MOST_FILES]) if (tags := _tags(path)) is not None}
    if not tagged:
        what = f"no DICOM file among {len(paths)} files" if paths else "the folder holds no file"
        raise DataError(what, where=folder, hint="Give the folder of one study.")
    if others := len(paths[:MOST_FILES]) - len(tagged):
        faults.append(Fault("folder.other_files", UNREAD, detail=f"{others} files that are no DICOM image"))
    study_uid, own = _one_study(tagged, faults)
    return Listing(study_uid, _numbered(_by_series(own), folder), tuple(faults))


def _refuse_unreadable(folder: Path) -> None:
    if not folder.is_dir():
        what = "this is a file, not a folder" if folder.exists() else "there is no such folder"
        raise DataError(what, where=folder, hint="Give the folder of one study.")
    try:
        os.scandir(folder).close()
    except OSError as error:
        what = f"the folder cannot be read: {type(error).__name__}"
        raise DataError(what, where=folder, hint="Ask for permission to read it.") from None


def _files(folder: Path, faults: list[Fault]) -> Iterator[Path]:
    """Yield all files below a folder, nearest first; a folder reached twice is visited once."""
    seen: set[tuple[int, int]] = set()
    waiting = [(folder, 0)]
    while waiting:
        place, depth = waiting.pop(0)
        try:
            identity = place.stat()
            if (key := (identity.st_dev, identity.st_ino)) in seen:
                continue
            seen.add(key)
            found = sorted(path for path in place.iterdir() if not path.name.startswith("."))
        except OSError as error:
            faults.append(Fault("folder.unreadable", UNREAD, detail=f"a folder: {type(error).__name__}"))
            continue
        below = [path for path in found if path.is_dir()]
        if depth < DEPTH:
            waiting += [(path, depth + 1) for path in below]
        elif below:
            faults.append(Fault("folder.too_deep", UNREAD, detail=f"folders more than {DEPTH} deep"))
        yield from (path for path in found if path not in below)


def _tags(path: Path) -> Tags | None:
    """The tags of an image, empty if they cannot be read; None if the file is not an image."""
    if not is_dicom(path):
        return None
    with suppress(SliceError):
        tags = read_tags(path)
        return tags if tags.is_image else None
    return Tags()


def _one_study(tagged: Mapping[Path, Tags], faults: list[Fault]) -> tuple[str, dict[Path, Tags]]:
    """The study with most images (ties: lowest identifier) and its files, with those that name no study.

    If each series of one patient names its own study, as some anonymisers leave them, all files are kept.
    """
    counts = Counter(tags.study_uid for tags in tagged.values() if tags.study_uid)
    if not counts:
        return "", dict(tagged)
    study_uid = min(counts, key=lambda uid: (-counts[uid], uid))
    patients = {tags.patient_id for tags in tagged.values()} - {""}
    series = {tags.series_uid for tags in tagged.values()}
    if len(counts) >= max(FEW_SERIES, len(series)) and len(patients) < 2:
        detail = f"{len(counts)} studies by their identifiers, as many as series: identifiers ignored"
        faults.append(Fault("study.strangers", "all read as one", detail=detail))
        return study_uid, dict(tagged)
    if len(counts) > 1:
        others = counts.total() - counts[study_uid]
        detail = f"{others} images of {len(counts) - 1} other studies: the study with most images is taken"
        faults.append(Fault("folder.several_studies", UNREAD, detail=detail))
    return study_uid, {path: tags for path, tags in tagged.items() if tags.study_uid in (study_uid, "")}


def _by_series(tagged: Mapping[Path, Tags]) -> list[tuple[Path, ...]]:
    """Group files by the series in their headers; others by folder, joining the folder's only series."""
    named: dict[str, list[Path]] = defaultdict(list)
    nameless: dict[Path, list[Path]] = defaultdict(list)
    series_in: dict[Path, set[str]] = defaultdict(set)
    for path, tags in tagged.items():
        if tags.series_uid:
            named[tags.series_uid].append(path)
            series_in[path.parent].add(tags.series_uid)
        else:
            nameless[path.parent].append(path)
    alone = []
    for parent, paths in nameless.items():
        if len(beside := series_in[parent]) == 1:
            named[next(iter(beside))] += paths
        else:
            alone.append(paths)
    return sorted(tuple(sorted(paths)) for paths in [*named.values(), *alone])


def _numbered(several: list[tuple[Path, ...]], folder: Path) -> dict[int, tuple[Path, ...]]:
    """Number series by the folder they have to themselves, the others by the lowest free numbers."""
    numbered: dict[int, tuple[Path, ...]] = {}
    others = []
    for paths in several:
        parents = {path.parent for path in paths}
        own = parents.pop() if len(parents) == 1 else None
        number = number_of(own.name) if own and (own != folder or len(several) == 1) else None
        if number is None or number in numbered:
            others.append(paths)
        else:
            numbered[number] = paths
    free = (number for number in count(1) if number not in numbered)
    return numbered | dict(zip(free, others))
