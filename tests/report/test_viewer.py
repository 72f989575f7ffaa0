"""The viewer: clicks, sliders and the menu; one figure per batch of events; all in a real JupyterLab."""

import contextlib
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

from kitlib.prepare.views import slots_of
from kitlib.report import viewer
from kitlib.report.figures.linked import LinkedPlanes
from kitlib.report.style import Picture
from kitlib.report.viewer import Viewer, view
from kitlib.run.execute import KERNEL, own_kernel
from kitlib.terms import AXIAL_T2, CELLS, SAGITTAL_T2, SEQUENCES, Cell
from tests.browser import Browser, wait_until
from tests.report.figures.test_linked import make_result

HOME = Path(__file__).parents[2]
RESULT = make_result()
FORAMEN = CELLS.index(Cell("right_neural_foraminal_narrowing", "l2_l3"))
CELL = f"""\
import sys
sys.path.insert(0, {str(HOME)!r})
from kitlib import view
from tests.report.figures.test_linked import make_result
view(make_result())"""


def slices_of(shown: Viewer) -> dict[str, int]:
    return {sequence: one.index for sequence, one in shown.shown.items()}


def test_outside_of_a_notebook_it_is_a_figure():
    assert isinstance(view(RESULT), Picture)


@pytest.mark.parametrize(
    ("content", "is_there"), [({"allow_stdin": True}, True), ({"allow_stdin": False}, False), ({}, False)]
)
def test_somebody_is_there_where_a_question_could_be_answered(monkeypatch, content, is_there):
    kernel = type("Kernel", (), {"get_parent": lambda _: {"content": content}})()
    monkeypatch.setattr(viewer, "get_ipython", lambda: type("Shell", (), {"kernel": kernel}))
    assert viewer.is_attended() == is_there
    assert isinstance(view(RESULT), Viewer if is_there else Picture)
    monkeypatch.setattr(viewer, "get_ipython", lambda: None)
    assert not viewer.is_attended()


def test_a_click_and_a_slider_move_the_other_planes_and_all_sliders_follow():
    shown = Viewer(LinkedPlanes(RESULT))
    shown.hear(f"plane {[*shown.shown].index(SAGITTAL_T2)} 0.5 0.1 123")  # near the head
    assert slices_of(shown)[AXIAL_T2] == len(shown.shown[AXIAL_T2].stack) - 1
    before = slices_of(shown)[SAGITTAL_T2]
    shown.sliders[AXIAL_T2].value = 1
    assert slices_of(shown) == slices_of(shown) | {AXIAL_T2: 0, SAGITTAL_T2: before}
    assert shown.shown[SAGITTAL_T2].point_mm[2] == pytest.approx(shown.shown[AXIAL_T2].point_mm[2])
    assert {name: slider.value - 1 for name, slider in shown.sliders.items()} == slices_of(shown)


def test_a_severity_and_the_menu_go_to_a_place_and_show_its_views():
    shown = Viewer(LinkedPlanes(RESULT))
    shown.hear(f"cell {FORAMEN} 0.5 0.5 123")
    assert shown.menu.value == "L2/L3, right foramen"
    assert shown.table.value.count('aria-pressed="true"') == 1
    assert f'aria-pressed="true" data-message="cell {FORAMEN}"' in shown.table.value
    assert shown.views.value.count("<img") == len(slots_of(FORAMEN))
    shown.hear("plane 0 0.1 0.1 124")
    away = slices_of(shown), shown.shown[AXIAL_T2].xy.tolist()
    shown.hear(f"cell {FORAMEN} 0.5 0.5 125")  # the same again, from another plane
    assert (slices_of(shown), shown.shown[AXIAL_T2].xy.tolist()) != away
    shown.menu.index = 0
    assert shown.cell == 0
    assert "L1/L2" in shown.views.value


def test_every_picture_has_a_text_and_no_script_is_in_it():
    shown = Viewer(LinkedPlanes(RESULT))
    parts = [*shown.pictures.values(), shown.table, shown.views]
    text = "".join(part.value for part in parts)
    assert text.count("<img alt=") == text.count("<img") == len(shown.shown) + len(slots_of(shown.cell))
    assert 'alt=""' not in text
    assert "<script" not in text


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The URL of a notebook in a separate JupyterLab, without the user's settings."""
    cell, metadata = nbformat.v4.new_code_cell(CELL), {"kernelspec": {"name": KERNEL, "display_name": ""}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=metadata), tmp_path / "view.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.root_dir": tmp_path,
        "IdentityProvider.token": "test", "LabApp.news_url": "None", "LabApp.extension_manager": "readonly",
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with own_kernel(), open(tmp_path / "log", "w") as log:
        own = {"JUPYTER_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(HOME)}
        server = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/api"), timeout_s=120)
            yield f"http://127.0.0.1:{port}/lab/tree/view.ipynb?token=test"
        finally:
            server.terminate()
            server.wait(60)


def answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address).status == 200
    except OSError:
        return False


def has_begun(browser: Browser) -> bool:
    """Whether the cell has begun, or has ended; the key is pressed again if a busy JupyterLab missed it."""
    browser.evaluate("document.querySelector('.jp-CodeCell .cm-content').focus()")
    browser.press("Enter", modifiers=8)  # shift
    with contextlib.suppress(AssertionError):
        return browser.wait_for("/[*0-9]/.test(document.querySelector('.jp-InputPrompt').innerText)", 5)
    return False


@pytest.mark.slow
def test_in_jupyterlab_a_click_on_the_sagittal_image_moves_the_axial_one(browser: Browser, lab: str):
    browser.open(lab)
    browser.wait_for("!!document.querySelector('.jp-CodeCell .cm-content')", 120)
    browser.wait_for("document.body.innerText.includes('| Idle')", 120)
    wait_until(lambda: has_begun(browser), 60)
    browser.wait_for("document.querySelectorAll('.kitlib .plane img').length == 3", 180)
    texts = "[...document.querySelectorAll('.kitlib .plane img')].map(image => image.alt)"
    before = browser.evaluate(texts)
    boxes = browser.evaluate(texts.replace("image.alt", "image.getBoundingClientRect().toJSON()"))
    assert all(box["width"] > 100 for box in boxes)
    assert len({box["top"] for box in boxes}) == 1  # side by side
    assert [text.split(",")[0] for text in before] == list(SEQUENCES)
    sagittal, axial = SEQUENCES.index(SAGITTAL_T2), SEQUENCES.index(AXIAL_T2)
    box = boxes[sagittal]
    browser.click(box["left"] + 0.5 * box["width"], box["top"] + 0.3 * box["height"])
    wait_until(lambda: browser.evaluate(texts) != before, 60)
    moved = browser.evaluate(texts)
    assert moved[axial] == f"{AXIAL_T2}, slice 9 of 9"
    assert moved[sagittal] == before[sagittal]
    assert browser.evaluate("document.querySelectorAll('.kitlib td button').length") == 25
    hosts = {urlsplit(address).hostname for address in browser.fetched if address.startswith("http")}
    assert hosts == {"127.0.0.1"}
    browser.evaluate("document.querySelector('.kitlib td button').click()")
    browser.wait_for("document.querySelector('.kitlib td button').getAttribute('aria-pressed') == 'true'")
