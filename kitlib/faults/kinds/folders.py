"""Folders that are missing, empty, links, filed in another way, or hold what belongs elsewhere."""

import os
import shutil
from pathlib import Path

from kitlib.faults.registry import damage
from kitlib.faults.subject import Subject
from kitlib.terms import SAGITTAL_T1, SAGITTAL_T2

OTHER_SERIES = 999_999_999
FIRST_FREE = 500
"""A name of a slice that no phantom's series has."""


def linked(paths: list[Path], folder: Path) -> None:
    """Put slices into a folder, under names that are free there."""
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
    """A file stands where a series should."""
    shutil.rmtree(study.series())
    study.series().write_text("nothing", encoding="ascii")


@damage()
def link_loop(study: Subject) -> None:
    """A series is a link to itself."""
    shutil.rmtree(study.series())
    study.series().symlink_to(study.series())


@damage()
def link_to_nothing(study: Subject) -> None:
    """A series is a link to what is not there."""
    shutil.rmtree(study.series())
    study.series().symlink_to(study.root / "nowhere")


@damage(harmless=True)
def link_back(study: Subject) -> None:
    """A link in the study leads back to the folder of all studies."""
    (study.folder / str(OTHER_SERIES)).symlink_to(study.folder.parent)


@damage(harmless=True)
def study_by_link(study: Subject) -> None:
    """The study's folder is a link into a store."""
    store = study.root / "store" / f"content-{study.study_id}"
    store.parent.mkdir(exist_ok=True)
    study.folder.rename(store)
    study.folder.symlink_to(store)


@damage(harmless=True)
def filed_flat(study: Subject) -> None:
    """All files lie in the study's folder, without folders of series."""
    for series in sorted(study.folder.iterdir()):
        for path in sorted(series.iterdir()):
            path.rename(study.folder / f"{series.name}-{path.name}")
        series.rmdir()


@damage()
def filed_deeper(study: Subject) -> None:
    """The files of a series lie in a folder of its folder."""
    deeper = study.series() / "DICOM"
    deeper.mkdir()
    for path in study.files():
        path.rename(deeper / path.name)


@damage(harmless=True)
def zeros_before_numbers(study: Subject) -> None:
    """The folder of a series has zeros before its number."""
    study.series().rename(study.folder / f"000{study.series_id()}")


@damage(harmless=True)
def other_files_beside(study: Subject) -> None:
    """Thumbnails, notes and hidden files lie beside the slices."""
    for name in ("Thumbs.db", "notes.txt", ".DS_Store", "._1.dcm.txt", "VERSION"):
        study.write(study.series() / name, b"nothing of the kind" * 20)


@damage()
def series_of_another_patient(study: Subject) -> None:
    """A further series of the study is another patient's, and no line describes it."""
    linked(study.stranger(), study.folder / str(OTHER_SERIES))


@damage()
def slices_of_another_patient(study: Subject) -> None:
    """A third of a series' files are another patient's, beside the patient's own."""
    linked(study.stranger()[::3], study.series())


@damage()
def series_is_another_patients(study: Subject) -> None:
    """A series' files are another patient's."""
    others = study.stranger()
    shutil.rmtree(study.series())
    linked(others, study.series())


@damage()
def two_contrasts_in_a_folder(study: Subject) -> None:
    """The folder of T2 holds the slices of T1, too."""
    linked(study.files(SAGITTAL_T1), study.series(SAGITTAL_T2))


@damage()
def series_copied(study: Subject) -> None:
    """A series lies twice in the study, the second time undescribed."""
    linked(study.files(), study.folder / str(OTHER_SERIES))


@damage()
def one_series_filed_twice(study: Subject) -> None:
    """The folder of T1 holds the slices of T2, and no tag says of which they are."""
    slices = study.files(SAGITTAL_T2)
    shutil.rmtree(study.series(SAGITTAL_T1))
    linked(slices, study.series(SAGITTAL_T1))
    times = dict.fromkeys(("EchoTime", "RepetitionTime", "InversionTime", "SeriesDescription"))
    study.edit([*study.files(SAGITTAL_T1), *slices], **times)
