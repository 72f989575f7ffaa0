"""Folders that are missing, empty, links, arranged differently, or hold files that belong elsewhere."""

import os
import shutil
from pathlib import Path

from kitlib.faults.registry import damage
from kitlib.faults.subject import Subject
from kitlib.terms import SAGITTAL_T1, SAGITTAL_T2

OTHER_SERIES = 999_999_999
FIRST_FREE = 500
"""First slice number that no phantom series uses."""


def linked(paths: list[Path], folder: Path) -> None:
    """Hard-link slices into a folder, under unused names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths, FIRST_FREE):
        os.link(path, folder / f"{number}.dcm")


@damage()
def study_missing(study: Subject) -> None:
    """The study has no folder."""
    shutil.rmtree(study.folder)


@damage()
def study_empty(study: Subject) -> None:
    """The study's folder is empty."""
    shutil.rmtree(study.folder)
    study.folder.mkdir()


@damage()
def series_missing(study: Subject) -> None:
    """A series has no folder."""
    shutil.rmtree(study.series())


@damage()
def series_empty(study: Subject) -> None:
    """The folder of a series is empty."""
    shutil.rmtree(study.series())
    study.series().mkdir()


@damage()
def series_is_a_file(study: Subject) -> None:
    """A series folder is replaced by a file."""
    shutil.rmtree(study.series())
    study.series().write_text("nothing", encoding="ascii")


@damage()
def link_loop(study: Subject) -> None:
    """A series folder is a link to itself."""
    shutil.rmtree(study.series())
    study.series().symlink_to(study.series())


@damage()
def link_to_nothing(study: Subject) -> None:
    """A series folder is a broken link."""
    shutil.rmtree(study.series())
    study.series().symlink_to(study.root / "nowhere")


@damage(harmless=True)
def link_back(study: Subject) -> None:
    """A link in the study points back to the folder of all studies."""
    (study.folder / str(OTHER_SERIES)).symlink_to(study.folder.parent)


@damage(harmless=True)
def study_by_link(study: Subject) -> None:
    """The study's folder is a link to a folder elsewhere."""
    store = study.root / "store" / f"content-{study.study_id}"
    store.parent.mkdir(exist_ok=True)
    study.folder.rename(store)
    study.folder.symlink_to(store)


@damage(harmless=True)
def filed_flat(study: Subject) -> None:
    """All files are directly in the study's folder, without series folders."""
    for series in sorted(study.folder.iterdir()):
        for path in sorted(series.iterdir()):
            path.rename(study.folder / f"{series.name}-{path.name}")
        series.rmdir()


@damage()
def filed_deeper(study: Subject) -> None:
    """The files of a series are in a sub-folder of its folder."""
    deeper = study.series() / "DICOM"
    deeper.mkdir()
    for path in study.files():
        path.rename(deeper / path.name)


@damage(harmless=True)
def zeros_before_numbers(study: Subject) -> None:
    """The name of a series folder has leading zeros."""
    study.series().rename(study.folder / f"000{study.series_id()}")


@damage(harmless=True)
def other_files_beside(study: Subject) -> None:
    """Thumbnails, notes and hidden files are next to the slices."""
    for name in ("Thumbs.db", "notes.txt", ".DS_Store", "._1.dcm.txt", "VERSION"):
        study.write(study.series() / name, b"nothing of the kind" * 20)


@damage()
def series_of_another_patient(study: Subject) -> None:
    """The study has an extra series of another patient, which no table describes."""
    linked(study.stranger(), study.folder / str(OTHER_SERIES))


@damage()
def slices_of_another_patient(study: Subject) -> None:
    """A third of another patient's slices are mixed into a series."""
    linked(study.stranger()[::3], study.series())


@damage()
def series_is_another_patients(study: Subject) -> None:
    """A series holds another patient's files."""
    others = study.stranger()
    shutil.rmtree(study.series())
    linked(others, study.series())


@damage()
def two_contrasts_in_a_folder(study: Subject) -> None:
    """The folder of T2 also holds the slices of T1."""
    linked(study.files(SAGITTAL_T1), study.series(SAGITTAL_T2))


@damage()
def series_copied(study: Subject) -> None:
    """A series occurs twice in the study, and no table describes the copy."""
    linked(study.files(), study.folder / str(OTHER_SERIES))


@damage()
def one_series_filed_twice(study: Subject) -> None:
    """The folder of T1 holds the slices of T2, and no tag identifies the sequence."""
    slices = study.files(SAGITTAL_T2)
    shutil.rmtree(study.series(SAGITTAL_T1))
    linked(slices, study.series(SAGITTAL_T1))
    times = dict.fromkeys(("EchoTime", "RepetitionTime", "InversionTime", "SeriesDescription"))
    study.edit([*study.files(SAGITTAL_T1), *slices], **times)
