import base64
import re
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
from nbformat import v4

from kitlib.errors import DataError
from kitlib.report.pages.chapters import origin, render_chapter

PIXELS = np.full((20, 30, 3), (40, 160, 250), np.uint8)
PNG = base64.b64encode(cv2.imencode(".png", PIXELS)[1].tobytes()).decode()
HOME = "/home/somebody/data"


def show(**data):
    return v4.new_output("display_data", {name.replace("_", "/"): value for name, value in data.items()})


def make_notebook():
    bar = v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "50%"})
    injected = v4.new_code_cell(f'data_dir = "{HOME}"', metadata={"tags": ["injected-parameters"]})
    table = "<table><tr><td>one</td></tr></table><script src='https://cdn.example/x.js'></script>"
    return [
        v4.new_markdown_cell("# 7 · A chapter\n\n**Purpose.** To be *read*."),
        injected,
        v4.new_code_cell(
            "a < b", outputs=[v4.new_output("stream", text=f"True <really> in {HOME}/x\n"), bar]
        ),
        v4.new_markdown_cell("More.\n\n## 7.1 Tables\n\nA `table`:"),
        v4.new_code_cell("table", outputs=[show(text_html=table, text_plain="one")]),
        v4.new_markdown_cell("## 7.2 Pictures"),
        v4.new_code_cell("figure", outputs=[show(image_png=PNG + "\n", text_plain="<Picture>")]),
    ]


@pytest.fixture
def page(tmp_path):
    nbformat.write(v4.new_notebook(cells=make_notebook()), tmp_path / "executed.ipynb")
    out = render_chapter(tmp_path / "executed.ipynb", tmp_path / "docs" / "7.html")
    assert out == tmp_path / "docs" / "7.html"
    return out.read_text(encoding="utf-8")


def test_prose_code_outputs_and_headings_stand_in_their_order(page):
    words = [
        "<h1>7 · A chapter</h1>",
        "<strong>Purpose.</strong>",
        "a &lt; b",
        "True &lt;really&gt;",
        "More.",
    ]
    words += [">7.1 Tables</h2>", "<code>table</code>", "<td>one</td>", ">7.2 Pictures</h2>", "<img"]
    places = [page.index(word) for word in words]
    assert places == sorted(places)
    assert re.findall(r'href="#(.*?)"', page) == re.findall(r'<section id="(.*?)"', page)


def test_the_page_needs_no_network_and_says_nothing_of_the_machine(page):
    assert "<script" not in page
    assert "http" not in page
    assert HOME not in page
    assert "in data/x" in page


def test_a_picture_is_within_the_page_and_progress_bars_and_plain_twins_are_not(page):
    (data,) = re.findall(r'<img alt="7.2 Pictures" src="data:image/webp;base64,(.*?)">', page)
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(shown, PIXELS, atol=6)
    for text in ("50%", "Picture&gt;"):
        assert text not in page


def test_what_is_no_chapter_is_refused(tmp_path):
    path = tmp_path / "executed.ipynb"
    path.write_text("{")
    with pytest.raises(DataError, match="no notebook"):
        render_chapter(path, tmp_path / "out.html")
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("1")]), path)
    with pytest.raises(DataError, match="no title"):
        render_chapter(path, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()


def test_a_broken_picture_is_refused(tmp_path):
    broken = show(image_png=base64.b64encode(b"no picture").decode())
    cells = [v4.new_markdown_cell("# 7"), v4.new_code_cell("figure", outputs=[broken])]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "executed.ipynb")
    with pytest.raises(DataError, match="picture cannot be read"):
        render_chapter(tmp_path / "executed.ipynb", tmp_path / "out.html")


def test_phantoms_are_named_as_such_and_no_path_is_given_away():
    said = origin(Path("a") / "b" / "data", is_phantom=True)
    assert "PHANTOMS" in said
    assert "claim on phantoms" in said
    assert "a/b" not in said
    assert "PHANTOMS" not in origin(Path("data"), is_phantom=False)
