"""A small competition of phantoms, hard-linked copies of it, and one study of a copy to damage."""

import os
import random
import shutil
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom import Dataset, dcmread

from kitlib.competition.root import Competition
from kitlib.mri.dicom.header import LIMITS
from kitlib.phantom.archive import study_ids, write_competition
from kitlib.terms import SEQUENCES, row_ids

IMAGES, SERIES_TABLE, SAMPLE = "test_images", "test_series_descriptions.csv", "sample_submission.csv"
TABLE2HEAD = {
    SERIES_TABLE: "study_id,series_id,series_description",
    SAMPLE: "row_id,normal_mild,moderate,severe",
}


@dataclass(frozen=True)
class Bed:
    """Intact phantoms: only copies of them are damaged."""

    root: Path
    origins: Mapping[int, int]  # study_id to the drawn study whose images it uses
    series: Mapping[int, Mapping[str, int]]  # of drawn studies: sequence to series_id

    @classmethod
    def draw(cls, root: Path, *, studies: int, seed: int, drawn: int | None = None) -> "Bed":
        """Draw phantoms of three series each; if `drawn` is fewer than `studies`, several share images."""
        drawn = min(studies, drawn or studies)
        write_competition(root, studies=0, test_studies=drawn, seed=seed, size="smoke", missing_rate=0)
        described = Competition(root).described("test")
        series = {
            int(str(study_id)): dict(zip(own["sequence"], own["series_id"].tolist()))
            for study_id, own in described.groupby("study_id")
        }
        origins = sorted(series)
        extra = [number for number in study_ids(studies + drawn, seed) if number not in series]
        ids = [*origins, *extra[: studies - drawn]]
        return cls(root, {number: origins[at % drawn] for at, number in enumerate(ids)}, series)

    def copy(self, root: Path, studies: Collection[int]) -> Path:
        """Make a competition of some studies, whose files are hard links to those of this one."""
        for study_id in studies:
            source = self.root / IMAGES / str(self.origins[study_id])
            shutil.copytree(source, root / IMAGES / str(study_id), copy_function=os.link)
        own = {number: self.series[self.origins[number]] for number in studies}
        lines = [f"{number},{series[word]},{word}" for number, series in own.items() for word in SEQUENCES]
        _write_lines(root / SERIES_TABLE, lines)
        rows = sorted(row for number in studies for row in row_ids(number))
        _write_lines(root / SAMPLE, [f"{row},0.3333,0.3333,0.3334" for row in rows])
        return root

    def subject(self, root: Path, study_id: int, seed: str) -> "Subject":
        """A study of a copy, with its own random generator and one of its sequences drawn."""
        rng = random.Random(f"{seed} {study_id}")
        return Subject(self, root, study_id, rng.choice(SEQUENCES), rng)


@dataclass(frozen=True)
class Subject:
    """One study of a copy: writing to it leaves the intact phantoms unchanged."""

    bed: Bed
    root: Path
    study_id: int
    sequence: str  # of the series to damage, if one is enough
    lots: random.Random

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.root / IMAGES / str(self.study_id)

    def series_id(self, sequence: str = "") -> int:
        """The id of the series of a sequence, by default the drawn one."""
        return self.bed.series[self.bed.origins[self.study_id]][sequence or self.sequence]

    def series(self, sequence: str = "") -> Path:
        """The folder of a series."""
        return self.folder / str(self.series_id(sequence))

    def files(self, sequence: str = "") -> list[Path]:
        """The readable files of a series, in order of their file numbers."""
        found = filter(_ends, self.series(sequence).glob("*.dcm"))
        return sorted(found, key=lambda path: int(path.stem))

    def one(self) -> Path:
        """A random file of the drawn series."""
        return self.lots.choice(self.files())

    def some(self) -> list[Path]:
        """A random third of the files of the drawn series."""
        files = self.files()
        return self.lots.sample(files, len(files) // 3)

    def stranger(self, sequence: str = "") -> list[Path]:
        """The intact files of another study's series."""
        own = self.bed.origins[self.study_id]
        other = self.lots.choice([number for number in self.bed.series if number != own])
        folder = self.bed.root / IMAGES / str(other) / str(self.bed.series[other][sequence or self.sequence])
        return sorted(folder.glob("*.dcm"), key=lambda path: int(path.stem))

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, replacing any file at the path."""
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def save(self, path: Path, dataset: Dataset) -> None:
        """Write a DICOM file, replacing any file at the path, without validating its tags."""
        path.unlink(missing_ok=True)
        with warnings.catch_warnings(), pydicom.config.disable_value_validation():
            warnings.simplefilter("ignore")
            dataset.save_as(path, enforce_file_format=True)

    def edit(
        self, paths: Path | Iterable[Path], change: Callable[[Dataset], Any] | None = None, **tags: Any
    ) -> None:
        """Change the datasets of files with a function and by setting tags; a tag set to None is removed."""
        for path in filter(_ends, [paths] if isinstance(paths, Path) else paths):
            with warnings.catch_warnings(), pydicom.config.disable_value_validation():
                warnings.simplefilter("ignore")
                dataset = dcmread(path)
                if change is not None:
                    change(dataset)
                for keyword, value in tags.items():
                    if value is None:
                        dataset.pop(keyword, None)
                    else:
                        setattr(dataset, keyword, value)
            self.save(path, dataset)

    def retell(self, change: Callable[[list[str]], Sequence[str]], table: str = SERIES_TABLE) -> None:
        """Replace this study's lines in a table."""
        lines = (self.root / table).read_bytes().decode(errors="surrogateescape").splitlines()[1:]
        separator = "," if table == SERIES_TABLE else "_"
        own = [line for line in lines if line.startswith(f"{self.study_id}{separator}")]
        others = [line for line in lines if line not in own]
        _write_lines(self.root / table, [*others, *change(own)])


def _ends(path: Path) -> bool:
    """Whether a file can be read: an earlier damage may have put a pipe or a huge file there."""
    return path.is_file() and path.stat().st_size <= LIMITS.file_mb * 1e6


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    text = "\n".join([TABLE2HEAD[path.name], *lines, ""])
    path.write_bytes(text.encode(errors="surrogateescape"))
