"""Find the competition's folder, and the tables and series in it."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from kitlib.artefacts import fingerprint
from kitlib.competition import tables
from kitlib.competition.folders import numbered, series_anyhow, series_in
from kitlib.competition.tables import UNDESCRIBED
from kitlib.errors import DataError, RootError
from kitlib.machine import KAGGLE
from kitlib.mri.ledger import Fault, Ledger
from kitlib.terms import number_of

Subset = Literal["train", "test"]
SUBSETS: tuple[Subset, ...] = ("train", "test")

KAGGLE_INPUT = KAGGLE / "input"
SLUG = "rsna-2024-lumbar-spine-degenerative-classification"
MARKERS = ("train", "sample_submission", "test_series_descriptions")
"""Tables any of which marks a folder as a root; `phantom.json` does so too."""
# Below the folder given: a folder unpacked in it, and Kaggle's mounts, which differ by year.
LAYOUTS = ("*", "competitions/*", "datasets/*/*", "notebooks/*/*")

DEPTH = 4
"""Levels from the root to a slice, <split>_images/<study>/<series>/<slice>; this also ends circular links."""

ASK = (
    f"Give the folder with train.csv, train_images and test_images of {SLUG}, "
    "or make one: python -m kitlib phantoms make."
)

WITHOUT_TEST = (
    "Without one there is no submission: run notebooks 1 to 5 (--to 5). "
    "Phantoms have some by python -m kitlib phantoms make --test-studies."
)


@dataclass(frozen=True)
class Competition:
    """A folder in the competition's layout; reading a table that is missing raises RootError.

    A test set cannot be corrected and still needs rows: its tables and folders are used as far as they can be
    read, and the rest goes to the ledger.

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

    def series(self, subset: Subset, ledger: Ledger | None = None) -> pd.DataFrame:
        """All series of a subset, described or on disk: study_id, series_id, sequence, folder, on_disk.

        `sequence` is one of SEQUENCES, or UNDESCRIBED if no table names it. `folder` is where the series is
        or, if not `on_disk`, should be; for a test study with another layout, it is the files of the series
        according to their headers. Sorted by study and series. Raises RootError or TableError if nothing
        describes the training series.
        """
        ledger = Ledger() if ledger is None else ledger
        listed = self.described("train", ledger) if subset == "train" else self._test_series(ledger)
        on_disk = self._on_disk(subset, listed, ledger)
        both = listed.merge(on_disk, how="outer", on=["study_id", "series_id"], validate="one_to_one")
        both["sequence"] = both["sequence"].fillna(UNDESCRIBED)
        both["on_disk"] = both["folder"].notna()
        images = self._images(subset)
        expected = [f"{images}/{study}/{series}" for study, series in zip(both.study_id, both.series_id)]
        both["folder"] = both["folder"].where(both["on_disk"], expected)
        columns = ["study_id", "series_id", "sequence", "folder", "on_disk"]
        return both.sort_values(["study_id", "series_id"], ignore_index=True)[columns]

    def described(self, subset: Subset, ledger: Ledger | None = None) -> pd.DataFrame:
        """See `tables.read_series_descriptions`."""
        return tables.read_series_descriptions(self._table(f"{subset}_series_descriptions"), ledger)

    def has_images(self, subset: Subset) -> bool:
        """Whether there is at least one study folder."""
        return bool(numbered(self._images(subset), Ledger()))

    def test_study_ids(self, ledger: Ledger | None = None) -> list[int]:
        """All studies that need rows: those in the sample submission, the test series table or test_images.

        Raises RootError if there is none.
        """
        ledger = Ledger() if ledger is None else ledger
        study_ids = set(numbered(self._images("test"), ledger))
        study_ids.update(self._test_series(ledger)["study_id"].tolist())
        if path := _table_path(self.root, "sample_submission"):
            with _done_without(ledger):
                study_ids.update(tables.read_studies(path, ledger))
        if not study_ids:
            what = "there is no test study, in tables or in test_images"
            raise RootError(what, where=self.root, hint=WITHOUT_TEST)
        return sorted(study_ids)

    def fingerprint(self) -> str:
        """Changes when a file is added, removed or renamed, or its size or modification time changes."""
        files = (
            (os.path.relpath(file.path, self.root), file.stat().st_size, file.stat().st_mtime_ns)
            for file in _files(self.root)
        )
        return fingerprint(sorted(files))

    def _on_disk(self, subset: Subset, listed: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
        """study_id, series_id and folder of every series on disk; `listed` holds those in the table."""
        described = listed.groupby("study_id")["series_id"].agg(set).to_dict()
        found: list[tuple] = []
        for study_id, study in numbered(self._images(subset), ledger).items():
            own = (
                series_in(study, study_id, ledger)
                if subset == "train"
                else series_anyhow(study, study_id, ledger, described.get(study_id, ()))
            )
            found += [(study_id, *series) for series in own.items()]
        table = pd.DataFrame(found, columns=["study_id", "series_id", "folder"])
        return table.astype({"study_id": "int64", "series_id": "int64"})

    def _test_series(self, ledger: Ledger) -> pd.DataFrame:
        """As `described`, but empty if the table cannot be read."""
        with _done_without(ledger):
            return self.described("test", ledger)
        return tables.series_table()

    def _images(self, subset: Subset) -> Path:
        return self.root / f"{subset}_images"

    def _table(self, name: str) -> Path:
        path = _table_path(self.root, name)
        if path is None:
            raise RootError(f"there is no {name}.csv or {name}.csv.gz", where=self.root, hint=ASK)
        return path


def sequences_around(study: Path) -> dict[int, str]:
    """The sequences of a study's series, by id, if its folder lies in a competition's folder; else {}.

    Links are not resolved. Raises TableError or RootError if there is no table to read.
    """
    for subset in SUBSETS:
        if study.parent.name == f"{subset}_images" and number_of(study.name) is not None:
            described = Competition(study.parents[1]).described(subset)
            own = described[described["study_id"] == number_of(study.name)]
            return dict(zip(own["series_id"].tolist(), own["sequence"].tolist()))
    return {}


def find_root(data_dir: Path | str | None = None) -> Competition:
    """Find the competition's folder: `data_dir` or a folder in it; by default, among Kaggle's mounts.

    Of several, the one named like the competition on Kaggle is taken. Raises RootError if there is none, or
    if the choice remains ambiguous.

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
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        what = f"the folder cannot be read: {type(error).__name__}"
        raise RootError(what, where=folder, hint="Ask for permission to read it.") from None
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


@contextlib.contextmanager
def _done_without(ledger: Ledger) -> Iterator[None]:
    """Record an unreadable table inside the block as a fault."""
    try:
        yield
    except DataError as error:
        ledger.add(Fault("table.unreadable", "done without", detail=error.what))


def _files(folder: Path | str, depth: int = DEPTH) -> Iterator[os.DirEntry]:
    """Yield files at most `depth` levels below the folder; links are followed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir():
                    yield from _files(entry.path, depth - 1) if depth > 1 else ()
                elif entry.is_file():
                    yield entry
