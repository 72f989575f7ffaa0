import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import kitlib.phantom
from kitlib.errors import DataError, UsageError
from kitlib.phantom.labels import draw_labels
from kitlib.phantom.oracle import draw_marks
from kitlib.phantom.study import draw_study
from kitlib.report.figures.phantom import CLOSE_UPS, GRADES, sequence2real
from kitlib.report.pages import phantom as phantom_page
from kitlib.terms import CELL_NAMES, CELLS, SEVERITIES

SECTIONS = (
    "Three planes", "Three severities", "Beside real slices", "Labels", "The best possible score",
    "Time and memory", "What still gives a phantom away",
)  # fmt: skip
SOME_CLOSE_UPS = CLOSE_UPS[:3]  # of two cells


@pytest.fixture(scope="module")
def few():
    """The module, with few phantoms, each drawn once for all tests of this file."""
    drawn = {}

    def draw(study_id, *, grades, **how):
        key = study_id, None if grades is None else grades.tobytes()
        if key not in drawn:
            drawn[key] = draw_study(study_id, grades=grades, **how)
        return drawn[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom_page, "draw_study", draw)
        patch.setattr(phantom_page, "AS_IN_NATURE", (1,))
        patch.setattr(phantom_page, "RAISED", (11,))
        patch.setattr(phantom_page, "CLOSE_UPS", SOME_CLOSE_UPS)
        yield phantom_page


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A folder laid out like real data, with made-up contents."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "spider" / "images").mkdir(parents=True)
    (folder / "tables").mkdir()
    upside_down = np.repeat(np.arange(60, dtype=np.uint8), 40).reshape(60, 40)
    for name in (name for names in sequence2real.values() for name, _ in names[:2]):
        cv2.imwrite(str(folder / "spider" / "images" / name), upside_down)
    words = np.array([*SEVERITIES, ""])[draw_labels(300, seed=1)]  # EMPTY is the last one
    table = pd.DataFrame(words, index=pd.RangeIndex(300, name="study_id"), columns=list(CELL_NAMES))
    table.to_csv(folder / "tables" / "train.csv")
    return folder


@pytest.fixture(scope="module")
def page(few, real, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "new" / "phantoms.html"
    written = few.write_page(out, real=real, seed=3, size="smoke", progress=False)
    assert written == out
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return out.read_text(encoding="utf-8")


def words_of(page: str) -> str:
    """The visible text: no tags, no styles, whitespace collapsed."""
    body = page[page.index("<body>") :]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


@pytest.mark.slow
def test_the_page_needs_nothing_but_itself(page):
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?:|<script|<link|@import|url\(", page)
    sources = re.findall(r'src="([^"]{22})', page)
    assert set(sources) == {"data:image/png;base64,"}
    assert len(sources) == page.count("<img") == 1 + len(SOME_CLOSE_UPS) + len(sequence2real) + 1


def test_every_section_has_its_heading_and_link(page):
    assert re.findall(r"<h2>(.*?)</h2>", page) == list(SECTIONS)
    anchors = re.findall(r'<section id="(.*?)"', page)
    assert re.findall(r'<a href="#(.*?)"', page) == anchors
    assert len(set(anchors)) == len(SECTIONS)


def test_every_figure_says_whether_it_shows_phantoms_or_patients(page):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, flags=re.S)
    assert len(captions) == page.count("<img")
    assert all("hantoms" in caption for caption in captions)
    assert sum("REAL" in caption for caption in captions) == len(sequence2real)


def test_the_page_says_what_was_measured_and_what_is_known_to_be_wrong(page):
    words = words_of(page)
    marks = draw_marks(2000, seed=3)
    assert f"oracle {marks['oracle'].total:.3f}" in words
    assert "real table of 300 studies" in words
    assert re.search(r"any severe spinal canal [-\d. ]+ 0\.030 1 of 1 ", words)
    assert "6 of size smoke" in words
    shortcomings = kitlib.phantom.__doc__.split("Known differences from real studies:")[1].split()
    assert len(shortcomings) > 50
    assert " ".join(shortcomings[-5:]) in words


def test_without_real_data_the_page_says_so(few, tmp_path):
    out = few.write_page(tmp_path / "a.html", real=None, seed=3, size="smoke", progress=False)
    page = out.read_text(encoding="utf-8")
    words = words_of(page)
    assert re.findall(r"<h2>(.*?)</h2>", page) == list(SECTIONS)
    assert "No real slices were given" in words
    assert "No real table was given" in words
    assert "published counts" in words
    assert "REAL" not in words


def test_a_page_that_was_there_stays_when_drawing_fails(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise DataError("no spine today")

    monkeypatch.setattr(phantom_page, "draw_study", fail)
    old = tmp_path / "old.html"
    old.write_text("old", encoding="utf-8")
    for out in (old, tmp_path / "new.html"):
        with pytest.raises(DataError, match="no spine today"):
            phantom_page.write_page(out, real=None, seed=3, size="smoke", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]
    assert old.read_text(encoding="utf-8") == "old"


@pytest.fixture
def no_drawing(monkeypatch):
    """Bad requests are refused before any work."""
    monkeypatch.setattr(phantom_page, "draw_study", lambda *_, **__: pytest.fail("a phantom was drawn"))


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(
    ("name", "error"), [("page.txt", UsageError), ("folder.html", UsageError), ("file/page.html", DataError)]
)
def test_a_path_that_cannot_be_written_is_refused(tmp_path, name, error):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error):
        phantom_page.write_page(tmp_path / name, real=None, seed=3, size="smoke", progress=False)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(
    ("change", "match"),
    [({"size": "huge"}, "huge"), ({"seed": -1}, "seed"), ({"real": Path("absent")}, "absent")],
)
def test_a_bad_request_is_refused(tmp_path, change, match):
    request = {"real": None, "seed": 3, "size": "smoke", "progress": False} | change
    with pytest.raises((UsageError, DataError), match=match):
        phantom_page.write_page(tmp_path / "page.html", **request)
    assert not list(tmp_path.iterdir())


def test_one_cell_of_a_person_is_raised_and_the_cost_counted(few):
    steps = []
    artist = few.Artist(3, "smoke", lambda: steps.append(1))
    people = artist.raised(11, [close_up.cell for close_up in SOME_CLOSE_UPS[1:]])
    assert len(artist.seconds) == len(artist.peaks_mb) - 1 == len(steps) == 5
    assert artist.peaks_mb == sorted(artist.peaks_mb)
    assert list(people) == [close_up.cell for close_up in SOME_CLOSE_UPS[1:]]
    for cell, studies in people.items():
        normal, *others = (study.grades for study in studies)
        for grades, grade in zip(others, GRADES[1:], strict=True):
            assert np.flatnonzero(grades != normal).tolist() == [CELLS.index(cell)]
            assert grades[CELLS.index(cell)] == grade
