import base64
import re

import cv2
import numpy as np
import pandas as pd
import psutil
import pytest

from kitlib.errors import DataError
from kitlib.report.pages import html
from kitlib.report.style import empty_figure, new_figure
from tests import browser as module
from tests.browser import DESKTOP, PHONE, Browser


def test_a_page_holds_its_sections_in_order_and_links_to_them():
    page = html.page(
        "A & B", "Lead.", {"First things": [html.paragraph("one")], "Next?": [html.paragraph("two")]}
    )
    assert "<title>A &amp; B</title>" in page
    assert re.findall(r'href="#(.*?)"', page) == re.findall(r'<section id="(.*?)"', page)
    assert page.index("Lead.") < page.index("<p>one</p>") < page.index("<p>two</p>")


def test_text_is_never_markup():
    parts = [
        html.paragraph("<b>"),
        html.figure(empty_figure("nothing"), '<b> "quoted"'),
        html.table(pd.DataFrame({"<b>": ["<b>"]}), "<b>"),
        html.folded("<b>", ""),
    ]
    assert "<b>" not in "".join(parts)
    assert 'alt="&lt;b&gt; &quot;quoted&quot;"' in parts[1]


def test_a_figure_is_a_png_within_the_page():
    (data,) = re.findall(
        r'src="data:image/png;base64,(.*?)"', html.figure(empty_figure("nothing"), "Caption")
    )
    assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def test_a_table_rounds_numbers_and_shows_gaps():
    table = html.table(pd.DataFrame({"name": ["a", "b"], "value": [1 / 3, None]}), "Caption")
    assert re.findall(r"<td>(.*?)</td>", table) == ["a", "0.333", "b", "-"]
    assert "<caption>Caption</caption>" in table


def test_a_picture_as_webp_is_the_same_picture():
    png = new_figure(3, 2, "title")._repr_png_()
    webp = html.as_webp(png)
    assert webp[8:12] == b"WEBP"
    was, now = (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in (png, webp))
    assert was.shape == now.shape
    assert np.abs(was.astype(int) - now).mean() < 2
    with pytest.raises(DataError, match="cannot be read"):
        html.as_webp(b"no picture")


@pytest.fixture
def page(tmp_path):
    """The URL of a page with every kind of content, wider than a phone."""
    wide = pd.DataFrame({f"a long name {number}": ["text"] for number in range(30)})
    figure = html.figure(new_figure(11, 3, "wide"), "A wide figure.")
    sections = {
        "First": [html.paragraph("word " * 100), html.scrolling(html.table(wide, "A caption " * 9), "Table")],
        "Second": [figure, html.folded("More", html.paragraph("folded") + html.grid([figure, figure]))],
    }
    (tmp_path / "page.html").write_text(html.page("Title", "Lead.", sections), encoding="utf-8")
    return (tmp_path / "page.html").as_uri()


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_in_a_browser_nothing_is_fetched_and_nothing_stands_out_of_the_window(browser, page, size):
    browser.open(page, size)
    assert {address.split(":")[0] for address in browser.fetched} == {"file", "data"}
    browser.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


@pytest.mark.slow
def test_in_a_browser_the_keyboard_reaches_and_opens_everything(browser, page):
    browser.open(page)
    reached = []
    for _ in range(4):
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.innerText.trim().split('\\n')[0]"))
    assert reached == ["First", "Second", "A caption " * 8 + "A caption", "More"]
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    browser.press("Enter")
    assert browser.evaluate("document.querySelector('details').open")
    browser.evaluate("document.querySelector('nav a[href=\"#second\"]').focus()")
    browser.press("Enter")
    assert browser.evaluate("location.hash") == "#second"


def test_a_browser_that_does_not_start_is_ended(tmp_path, monkeypatch):
    executable, number = tmp_path / "chromium", tmp_path / "pid"
    executable.write_text(f"#!/bin/sh\necho $$ > {number}.part; mv {number}.part {number}\nexec sleep 60\n")
    executable.chmod(0o755)
    waits = module.wait_until

    def late(_):
        waits(number.is_file)
        raise AssertionError("it did not come to pass in time")

    monkeypatch.setattr(module, "wait_until", late)
    with pytest.raises(AssertionError, match="in time"):
        Browser(str(executable), tmp_path)
    assert not psutil.pid_exists(int(number.read_text()))
