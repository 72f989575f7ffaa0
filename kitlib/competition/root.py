"""Where the competition's data lies: finding its folder, and the tables and series in it."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from kitlib.artefacts import fingerprint
from kitlib.competition import tables
from kitlib.errors import RootError
from kitlib.terms import parse_row_id

Subset = Literal["train", "test"]
SUBSETS: tuple[Subset, ...] = ("train", "test")

KAGGLE_INPUT = Path("/kaggle/input")
SLUG = "rsna-2024-lumbar-spine-degenerative-classification"
MARKERS = ("train", "sample_submission", "test_series_descriptions")
"""Tables, one of which makes a folder a root; `phantom.json` does so too."""
# Below the folder given: itself, a folder that was unpacked in it, and Kaggle's mounts, which differ by year.
LAYOUTS = ("*", "competitions/*", "datasets/*/*", "notebooks/*/*")

DEPTH = 4
"""Names from the root to a slice, <split>_images/<study>/<series>/<slice>; links that lead back end there."""

UNDESCRIBED = "undescribed"
"""The sequence of a series that lies on disk and in no table: it is listed, and no model looks at it."""

ASK = (
    f"Give the folder with train.csv, train_images and test_images of {SLUG}, "
    "or make one: python -m kitlib phantom."
)


@dataclass(frozen=True)
class Competition:
    """A folder in the competition's layout; a table that is asked for and absent is a RootError.

    >>> competition = Competition(Path("competition"))
    >>> competition.train_labels().shape  # studies, cells
    (6, 25)
    >>> competition.series("test").columns.tolist()
    ['study_id', 'series_id', 'sequence', 'folder', 'on_disk']
    """

    root: Path

    def train_labels(self) -> pd.DataFrame:
        """See `tables.read_train_labels`."""
        return tables.read_train_labels(self._table("train"))

    def landmarks(self) -> pd.DataFrame:
        """See `tables.read_landmarks`."""
        return tables.read_landmarks(self._table("train_label_coordinates"))

    def sample_submission(self) -> pd.DataFrame:
        """See `tables.read_predictions`."""
        return tables.read_predictions(self._table("sample_submission"))

    def series(self, subset: Subset) -> pd.DataFrame:
        """All series of a subset, described or on disk: study_id, series_id, sequence, folder, on_disk.

        `sequence` is one of SEQUENCES, or UNDESCRIBED for a series that only lies on disk. `folder` is where
        the series lies or, where `on_disk` is false, should lie. Sorted by study and series.
        """
        images = self._images(subset)
        described = self.described(subset)
        found = [(study, series) for study in _ids_in(images) for series in _ids_in(images / str(study))]
        on_disk = pd.DataFrame(found, columns=["study_id", "series_id"], dtype="int64").assign(on_disk=True)
        both = described.merge(on_disk, how="outer", on=["study_id", "series_id"], validate="one_to_one")
        both["sequence"] = both["sequence"].fillna(UNDESCRIBED)
        both["folder"] = [
            f"{images}/{study}/{series}" for study, series in zip(both.study_id, both.series_id)
        ]
        both["on_disk"] = both["on_disk"].notna()
        columns = ["study_id", "series_id", "sequence", "folder", "on_disk"]
        return both.sort_values(["study_id", "series_id"], ignore_index=True)[columns]

    def described(self, subset: Subset) -> pd.DataFrame:
        """See `tables.read_series_descriptions`."""
        return tables.read_series_descriptions(self._table(f"{subset}_series_descriptions"))

    def has_images(self, subset: Subset) -> bool:
        """Whether there is at least one study's folder."""
        return bool(_ids_in(self._images(subset)))

    def test_study_ids(self) -> list[int]:
        """Every study that needs rows: of the sample submission, the test series table, or test_images."""
        study_ids = set(_ids_in(self._images("test")))
        if path := _table_path(self.root, "sample_submission"):
            study_ids.update(parse_row_id(row)[0] for row in tables.read_predictions(path).index)
        if path := _table_path(self.root, "test_series_descriptions"):
            study_ids.update(tables.read_series_descriptions(path)["study_id"].tolist())
        if not study_ids:
            raise RootError("there is no test study, in tables or in test_images", where=self.root, hint=ASK)
        return sorted(study_ids)

    def fingerprint(self) -> str:
        """Changes when a file is added, removed or renamed, or its size or modification time changes."""
        files = (
            (os.path.relpath(file.path, self.root), file.stat().st_size, file.stat().st_mtime_ns)
            for file in _files(self.root)
        )
        return fingerprint(sorted(files))

    def _images(self, subset: Subset) -> Path:
        return self.root / f"{subset}_images"

    def _table(self, name: str) -> Path:
        path = _table_path(self.root, name)
        if path is None:
            raise RootError(f"there is no {name}.csv or {name}.csv.gz", where=self.root, hint=ASK)
        return path


def sequences_around(study: Path) -> dict[int, str]:
    """What the tables of the competition that a study's folder lies in call its series; {} elsewhere.

    The path decides, not what it is a link to. TableError or RootError where there is no table to read.
    """
    for subset in SUBSETS:
        if study.parent.name == f"{subset}_images" and re.fullmatch(tables.ID_PATTERN, study.name):
            described = Competition(study.parents[1]).described(subset)
            own = described[described["study_id"] == int(study.name)]
            return dict(zip(own["series_id"].tolist(), own["sequence"].tolist()))
    return {}


def find_root(data_dir: Path | str | None = None) -> Competition:
    """The competition's folder: `data_dir`, or one that stands in it; without it, among Kaggle's mounts.

    Of several, the one named as the competition on Kaggle is taken; several others are a RootError.

    >>> find_root("competition").test_study_ids()
    [11, 12, 13]
    """
    folder = Path(data_dir or KAGGLE_INPUT).absolute()
    if not folder.is_dir():
        what = "this is a file, not a folder" if folder.exists() else "the folder does not exist"
        raise RootError(what, where=folder, hint=ASK)
    if _is_root(folder):
        return Competition(folder)
    roots = [below for layout in LAYOUTS for below in sorted(folder.glob(layout)) if _is_root(below)]
    named = [root for root in roots if root.name == SLUG] or roots
    if len(named) > 1:
        roots_found = tables.few([str(root.relative_to(folder)) for root in named])
        what = f"several folders could be meant: {roots_found}"
        raise RootError(what, where=folder, hint="Give one of them.")
    if named:
        return Competition(named[0])
    names = sorted(path.name for path in folder.iterdir())
    raise RootError(
        f"no competition folder: it holds {tables.few(names)}" if names else "the folder is empty",
        where=folder,
        hint=f"Try its parent, {folder.parent}." if _is_root(folder.parent) else ASK,
    )


def _is_root(folder: Path) -> bool:
    try:
        marked = any(_table_path(folder, name) for name in MARKERS)
        return marked or (folder / "phantom.json").is_file()
    except PermissionError:
        return False


def _table_path(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}.csv", folder / f"{name}.csv.gz")
    return next((path for path in paths if path.is_file()), None)


def _ids_in(parent: Path) -> list[int]:
    """The sub-folders that are named by an id, sorted; other folders are no study and no series."""
    if not parent.is_dir():
        return []
    # scandir asks the disk once for a folder, not once for each entry: there are 8,000 on a network mount.
    with os.scandir(parent) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    return sorted(int(name) for name in names if re.fullmatch(tables.ID_PATTERN, name))


def _files(folder: Path | str, depth: int = DEPTH) -> Iterator[os.DirEntry]:
    """Files at most `depth` names below the folder; links count as what they lead to."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(entry.path, depth - 1) if depth > 1 else ()
            elif entry.is_file():
                yield entry
