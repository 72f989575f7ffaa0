"""A study on the screen: linked planes to click on in JupyterLab, one figure where nobody could click."""

from functools import partial
from html import escape
from typing import Any

import ipywidgets as widgets
from IPython import get_ipython

from kitlib.mri.study import SliceAt, Study
from kitlib.predict.folder import StudyResult, predict_read
from kitlib.predict.predictor import Predictor
from kitlib.prepare.views import slots_of
from kitlib.report.figures.linked import (
    LinkedPlanes,
    at_shares,
    cell_title,
    linked,
    plane_png,
    slice_title,
)
from kitlib.report.pages import html
from kitlib.report.pages.study import cell_table, view_figure
from kitlib.report.style import INK, Picture
from kitlib.terms import CELLS

LEAD = """
Click on a plane, or move its slider, to take the other planes to the same point in the patient; click on a
severity to go to its place. Circles mark Normal/Mild, squares Moderate, diamonds Severe. The ring is what the
view of the chosen place sees; the stronger it is, the more attention that slice has. For research and
teaching: not a medical device.
"""
CSS = f"""<style>.kitlib {{ {html.CSS}
background: #fff; padding: .6rem; &, .jupyter-widgets {{ color: {INK}; }}
.widget-html-content {{ font-size: .85rem; line-height: 1.4; }} p {{ max-width: none; }}
.planes, .below {{ flex-flow: row wrap; gap: 1rem; }} .planes > * {{ flex: 1 1 14rem; min-width: 0; }}
.widget-slider {{ width: auto; }} .cells td {{ min-width: 5.5rem; padding: .3rem .6rem; }}
.below > * {{ max-width: 100%; overflow-x: auto; }} .below > :last-child {{ flex: 1 1 17rem; }}
.message {{ display: none; }} table {{ margin: 0; }} .plane img {{ width: 100%; cursor: crosshair; }}
td button {{ all: unset; cursor: pointer; display: block; width: 100%; }}
td button:focus-visible, td button[aria-pressed=true] {{ outline: 2px solid {INK}; outline-offset: .3rem; }}
}}</style>"""
# A click reaches the kernel through a text field that nobody sees: what was clicked, where in it, and the
# time, so that what is clicked twice is sent twice.
SEND = escape(
    "const at = event.target.getBoundingClientRect(),"
    " field = this.closest('.kitlib').querySelector('.message input');"
    "field.value = [this.dataset.message, (event.clientX - at.left) / at.width,"
    " (event.clientY - at.top) / at.height, Date.now()].join(' ');"
    "field.dispatchEvent(new Event('input', {bubbles: true}))"
)


def view(study: Study | StudyResult, predictor: Predictor | None = None) -> "Viewer | Picture":
    """Look at a study, which is predicted unless it has been: by what ships, unless a predictor is given.

    In JupyterLab three planes are linked by the coordinates of the patient. Outside of notebooks, and where
    one is run with nobody before it, as by papermill, the same is one figure.

    >>> from kitlib.phantom.study import draw_study
    >>> view(draw_study(7, seed=1, size="smoke").study).get_suptitle()
    'Study 7: ...'
    """
    result = predict_read(predictor or Predictor.shipped(), study) if isinstance(study, Study) else study
    planes = LinkedPlanes(result)
    return Viewer(planes) if is_attended() and result.study.sequences else linked(planes)


def is_attended() -> bool:
    """Whether somebody sits before the notebook that asks: one who could be asked for input."""
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(kernel and kernel.get_parent().get("content", {}).get("allow_stdin"))


class Viewer(widgets.VBox):
    """Planes with a slider each, the 25 severities, and the views of the chosen one of them."""

    def __init__(self, planes: LinkedPlanes) -> None:
        self.planes, self.shown, self.cell = planes, dict[str, SliceAt](), planes.gravest
        sequences = planes.result.study.sequences
        self.pictures = {sequence: widgets.HTML() for sequence in sequences}
        self.sliders = {
            sequence: widgets.IntSlider(1, 1, 1, description="slice", readout=False) for sequence in sequences
        }
        self.menu = widgets.Dropdown(
            options=[cell_title(cell) for cell in range(len(CELLS))], description="place"
        )
        self.table, self.views, self.message = widgets.HTML(), widgets.HTML(), widgets.Text()
        columns = [widgets.VBox(pair) for pair in zip(self.pictures.values(), self.sliders.values())]
        above, below = widgets.HBox(columns), widgets.HBox([self.table, self.views])
        super().__init__([widgets.HTML(CSS + html.paragraph(LEAD)), above, self.menu, below, self.message])
        named = {"kitlib": self, "planes": above, "below": below, "message": self.message}
        for name, widget in named.items():
            widget.add_class(name)
        self.choose(self.cell)
        self.message.observe(lambda change: self.hear(change["new"]), "value")
        self.menu.observe(self._pick, "index")
        for sequence, slider in self.sliders.items():
            slider.observe(partial(self._scroll, sequence), "value")

    def hear(self, message: str) -> None:
        """Do what was clicked: "cell 7 ...", or "plane 1 ..." with shares of its width and height."""
        kind, number, across, down, _ = message.split()
        if kind == "cell":
            self.choose(int(number))
        else:
            sequence = [*self.shown][int(number)]
            self.hold(sequence, at_shares(self.shown[sequence], float(across), float(down)))

    def choose(self, cell: int) -> None:
        """Go to the place of a cell (index into CELLS)."""
        self.cell = self.menu.index = cell
        start_mm = self.planes.start_mm(cell)
        if start_mm is not None:
            self._show(self.planes.shown(start_mm))

    def hold(self, sequence: str, held: SliceAt) -> None:
        """Keep a plane at a pixel of a slice, and take the others to where they come nearest to it."""
        self._show({**self.planes.shown(held.point_mm), sequence: held})

    def _pick(self, change: dict[str, Any]) -> None:
        if change["new"] != self.cell:  # else it was the viewer that moved the menu
            self.choose(change["new"])

    def _scroll(self, sequence: str, change: dict[str, Any]) -> None:
        shown = self.shown[sequence]
        held = self.planes.slices(sequence, shown.point_mm)[change["new"] - 1]
        if (held.stack, held.index) != (shown.stack, shown.index):
            self.hold(sequence, held)

    def _show(self, shown: dict[str, SliceAt]) -> None:
        self.shown = shown
        for sequence, one in shown.items():
            self.pictures[sequence].value = self._plane(sequence)
            slices = [(other.stack, other.index) for other in self.planes.slices(sequence, one.point_mm)]
            self.sliders[sequence].max = len(slices)
            self.sliders[sequence].value = 1 + slices.index((one.stack, one.index))
        self.table.value = cell_table(self.planes.result, self._button)
        if examination := self.planes.result.examination:
            seen = [number for number in slots_of(self.cell) if examination.crops.shown[number]]
            self.views.value = html.grid([view_figure(examination, number) for number in seen])

    def _plane(self, sequence: str) -> str:
        title = slice_title(self.shown[sequence])
        png = plane_png(self.planes, self.shown[sequence], self.cell)
        clicked = f'data-message="plane {[*self.shown].index(sequence)}" onclick="{SEND}"'
        return f'<div class="plane" {clicked}>{html.image(png, title)}</div>{html.paragraph(title)}'

    def _button(self, cell: int, text: str) -> str:
        state = f'aria-pressed="{str(cell == self.cell).lower()}"'
        return f'<button type="button" {state} data-message="cell {cell}" onclick="{SEND}">{text}</button>'
