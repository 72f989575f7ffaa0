"""Phantoms are copied by hard links, and writing to a copy leaves them unchanged."""

import os
from pathlib import Path

import pytest
from pydicom import dcmread

from kitlib.competition.root import Competition
from kitlib.faults.subject import IMAGES, Bed, Subject
from kitlib.terms import SAGITTAL_T2, SEQUENCES


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    return Bed.draw(tmp_path_factory.mktemp("bed") / "phantoms", studies=4, drawn=2, seed=5)


@pytest.fixture
def study(bed: Bed, tmp_path: Path) -> Subject:
    root = bed.copy(tmp_path / "copy", [*bed.origins][1:])
    return bed.subject(root, [*bed.origins][1], "1")


def test_a_copy_is_a_competition_of_links(bed: Bed, study: Subject) -> None:
    competition = Competition(study.root)
    assert competition.test_study_ids() == sorted([*bed.origins][1:])
    series = competition.series("test")
    assert series["on_disk"].all()
    assert len(series) == 3 * len(SEQUENCES)
    for study_id, origin in bed.origins.items():
        for path in (study.root / IMAGES / str(study_id)).rglob("*.dcm"):
            own = path.relative_to(study.root / IMAGES / str(study_id))
            assert path.samefile(bed.root / IMAGES / str(origin) / own)


def test_more_studies_than_are_drawn_have_numbers_of_their_own(bed: Bed) -> None:
    assert len(bed.origins) == 4
    assert sorted(set(bed.origins.values())) == sorted(bed.series)
    assert len(bed.series) == 2


def test_what_is_written_leaves_the_phantoms_as_they_are(bed: Bed, study: Subject) -> None:
    path = study.files(SAGITTAL_T2)[0]
    whole = bed.root / IMAGES / str(bed.origins[study.study_id]) / path.relative_to(study.folder)
    before = whole.read_bytes()
    study.edit(path, Modality="CT", InstanceNumber=None)
    assert whole.read_bytes() == before
    assert dcmread(path).Modality == "CT"
    assert "InstanceNumber" not in dcmread(path)
    study.write(path, b"")
    assert whole.read_bytes() == before
    assert path.read_bytes() == b""


def test_what_an_earlier_damage_made_endless_is_not_read(study: Subject) -> None:
    huge, pipe, third, *_ = study.files()
    study.write(huge, huge.read_bytes())
    os.truncate(huge, 2 * 2**30)
    pipe.unlink()
    os.mkfifo(pipe)
    assert not {huge, pipe} & {*study.files()}
    study.edit([huge, pipe, third], PatientID="another")
    assert huge.stat().st_size == 2 * 2**30
    assert dcmread(third, stop_before_pixels=True).PatientID == "another"


def test_lines_of_one_study_are_retold(study: Subject) -> None:
    before = Competition(study.root).described("test")
    study.retell(lambda lines: lines[:1])
    described = Competition(study.root).described("test")
    assert (described["study_id"] == study.study_id).sum() == 1
    assert len(described) == len(before) - len(SEQUENCES) + 1


def test_a_stranger_is_another_study(bed: Bed, study: Subject) -> None:
    own = str(bed.origins[study.study_id])
    assert {path.parents[1].name for path in study.stranger()} == {str(n) for n in bed.series} - {own}
