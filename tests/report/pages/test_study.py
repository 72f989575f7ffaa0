"""The page about one study: complete, self-contained, also readable as text, and without patient data."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.study import Series, Study
from kitlib.predict.folder import StudyResult
from kitlib.predict.predictor import FULL, PRIOR, Prediction
from kitlib.prepare.views import SLOTS
from kitlib.report.pages import study as page_module
from kitlib.report.pages.study import cell_table, study_page
from kitlib.terms import LEVELS, SEQUENCES, SEVERITIES, level2text
from tests.report.builders import make_examination, make_stack

STUDY = Study(
    7, tuple(Series(number, name, (make_stack(sequence=name),)) for number, name in enumerate(SEQUENCES))
)
LEDGER = Ledger(
    [
        Fault("series.undescribed", "taken as Sagittal T1", 7, 0, detail="by its pixels"),
        Fault("slice.pixels", "file dropped", 7, 1, file="SMITH_1.dcm", detail="<b>cut short</b>"),
        Fault("slice.pixels", "file dropped", 7, 1, file="SMITH_2.dcm", detail="<b>cut short</b>"),
    ]
)


def make_result(examination=None, study=STUDY, rung=FULL, ledger=LEDGER):
    chances = examination.probabilities if examination else np.full((25, 3), (0.2, 0.5, 0.3))
    return StudyResult(study, Prediction.of(chances, rung), examination, ledger)


@pytest.fixture(scope="module")
def page():
    return study_page(make_result(make_examination(STUDY)))


def text_of(page):
    return unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)))


def test_the_page_is_alone_in_its_file(page):
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,|#)', page) == []
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert 'name="viewport"' in page


def test_every_picture_has_a_text(page):
    texts = re.findall(r'<img alt="([^"]*)"', page)
    assert len(texts) == 3 + len(SLOTS)
    assert all(len(text) > 20 for text in texts)
    assert len(re.findall("<img", page)) == len(texts)


def test_severities_stand_in_words_and_millimetres(page):
    examination = make_examination(STUDY)
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page)
    assert [level for level, _ in rows] == [level2text[level] for level in LEVELS]
    for order, (_, cells) in enumerate(rows):
        found = re.findall(r"<td style=.*?><b>(.*?)</b> (\d+)%.*?</span></span>(.*?) mm</td>", cells)
        for condition, (severity, percent, opening) in enumerate(found):
            chances = examination.probabilities[condition * 5 + order]
            assert severity == SEVERITIES[chances.argmax()]
            assert int(percent) == pytest.approx(100 * chances.max(), abs=0.51)
            assert float(opening) == pytest.approx(examination.openings_mm[condition * 5 + order], abs=0.051)
        assert len(found) == 5
    labels = re.findall(r'role="img" aria-label="(.*?)"', page)
    assert len(labels) == 25
    assert all(label.startswith("Normal/Mild ") and ", Severe " in label for label in labels)


def test_no_name_of_a_file_and_no_markup_of_it_comes_in(page):
    assert "SMITH" not in page
    assert "<b>cut short" not in page
    words = " ".join(text_of(page).split())
    assert "2 slice.pixels file dropped 1 <b>cut short</b>" in words
    assert "Sagittal T1 by its pixels sagittal 1 5 0.90 x 0.60 4.0" in words


def test_views_say_what_they_tell_alone_and_where_attention_is(page):
    captions = re.findall(r"<figcaption>(L\d/.*?)</figcaption>", page)
    assert len(captions) == len(SLOTS)
    pattern = (
        r"L\d/[LS]\d, .*\. Alone: Normal/Mild \d+%, Moderate \d+%, Severe \d+%\. "
        r"Attention: (\d+%, ){2}\d+%\. Place: 90% sure\."
    )
    assert all(re.fullmatch(pattern, caption) for caption in captions)


def test_absent_views_and_lost_places_are_said():
    examination = make_examination(STUDY, absent=tuple(range(10)))
    crops = replace(examination.crops, confidences=np.zeros(len(SLOTS)))
    page = study_page(make_result(replace(examination, crops=crops, openings_mm=np.full(25, np.nan))))
    assert "No series shows it." in page
    assert page.count("not found, so cut where it usually lies") == 2 * (len(SLOTS) - 10)
    assert page.count("not measured") == 25


def test_levels_in_doubt_are_said_before_their_severities():
    doubtful = Ledger([Fault("landmarks.abstained", "no landmark to trust", 7, detail="no canal is visible")])
    page = study_page(make_result(make_examination(STUDY), ledger=doubtful))
    assert page.index("The levels are in doubt: no canal is visible.") < page.index("Each cell:")


def test_something_may_stand_around_what_a_cell_says():
    table = cell_table(make_result(make_examination(STUDY)), lambda cell, text: f"<u>{cell}</u>{text}")
    order = [int(cell) for cell in re.findall("<u>(.*?)</u><b>", table)]
    assert order == [5 * condition + level for level in range(5) for condition in range(5)]


def test_without_a_crop_model_the_localiser_is_asked(monkeypatch):
    asked = []
    real = page_module.shipped_localiser
    monkeypatch.setattr(page_module, "shipped_localiser", lambda: asked.append(True) or real())
    page = study_page(make_result())
    assert asked
    assert "No view was used." in page
    assert "Nothing was found on these slices." in page


def test_a_study_of_nothing_has_a_page():
    nothing = Study(7, (Series(1, None, ()),))
    page = study_page(make_result(study=nothing, rung=PRIOR, ledger=Ledger()))
    assert "(prior)" in page
    assert "left out" in page
    assert "Nothing." in page
