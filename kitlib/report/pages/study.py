"""The page about one study: what was read, what is said of it, where it was looked at, what was wrong."""

from collections import Counter
from collections.abc import Callable
from html import escape

import numpy as np
import pandas as pd

from kitlib.localise.localiser import shipped_localiser
from kitlib.localise.points import Located
from kitlib.models.crop.model import Examination
from kitlib.mri.study import Series
from kitlib.predict.folder import CONDITION_NAMES, StudyResult
from kitlib.prepare.views import SLOTS, VIEWS
from kitlib.report import style
from kitlib.report.figures.levels import overlay
from kitlib.report.figures.views import located_in, slot_png
from kitlib.report.pages import html
from kitlib.terms import CELLS, CONDITIONS, LEVELS, SEVERITIES, Cell, Place, condition2text, level2text

LEAD = """
What kitlib predicts for this study, and what it looked at. For research and teaching: not a medical device,
and no finding should be believed because it appears here. The page contains pixels of the study, but no name,
date or text from its files.
"""
SAID = """
Each cell: the most likely severity with its probability, a bar of the three probabilities (normal or mild,
moderate, severe), and the measured opening in millimetres.
"""
DOUBT = """
The levels are in doubt: {reason}. Results may belong to a neighbouring level, or to no level at all.
"""
LOOKED_AT = """
Each picture is one view on neighbouring slices; the bar below a slice is as wide as the attention on it. The
caption says what this view predicts alone: the table above also weighs the other views, levels and sides.
"""
place2name: dict[Place, str] = {
    "canal": "The canal on sagittal T2/STIR",
    "foramen": "The foramina on sagittal T1, left and right",
    "recess": "The lateral recesses on axial T2, level by level",
}


def study_page(result: StudyResult) -> str:
    """The page about a study, as HTML."""
    looked_at = result.examination
    sections = {
        "Series": [_series_table(result)],
        "Severities": [*_doubts(result), html.paragraph(SAID), cell_table(result)],
        "Three planes": _planes(result),
        "Views": _views(looked_at) if looked_at else [html.paragraph("No view was used.")],
        "Faults and decisions": [_ledger_table(result)],
    }
    return html.page(f"Study {result.study.study_id}", LEAD, sections)


def _series_table(result: StudyResult) -> str:
    why = {fault.series_id: fault.detail for fault in result.ledger if fault.code == "series.undescribed"}
    rows = [
        {
            "series": series.series_id,
            "sequence": series.sequence or "left out",
            "identified": why.get(series.series_id, "by a table"),
            **_geometry(series),
        }
        for series in result.study.series
    ]
    caption = "Series in numerical order; millimetres are those of the largest stack."
    return html.scrolling(html.table(pd.DataFrame(rows), caption), "Series")


def _geometry(series: Series) -> dict[str, str | int]:
    if not series.stacks:
        return {"plane": "-", "stacks": 0, "slices": 0, "pixel, mm": "-", "step, mm": "-"}
    largest = series.stacks[0]
    return {
        "plane": largest.plane,
        "stacks": len(series.stacks),
        "slices": sum(map(len, series.stacks)),
        "pixel, mm": " x ".join(f"{size_mm:.2f}" for size_mm in largest.spacing_mm),
        "step, mm": "-" if len(largest) == 1 else f"{largest.step_mm:.1f}",
    }


def _doubts(result: StudyResult) -> list[str]:
    """Why the levels are not to be trusted, if so."""
    reasons = {fault.detail for fault in result.ledger if fault.code == "landmarks.abstained"}
    return [html.paragraph(DOUBT.format(reason=reason)) for reason in sorted(reasons)]


def cell_table(result: StudyResult, within: Callable[[int, str], str] = lambda _, text: text) -> str:
    """Levels by conditions; words and figures say what colours do.

    `within` may put something around what stands in a cell (index into CELLS), such as a button.
    """
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in ["", *CONDITION_NAMES])
    rows = []
    for level in LEVELS:
        numbers = [CELLS.index(Cell(condition, level)) for condition in CONDITIONS]
        cells = "".join(_cell(result, number, within) for number in numbers)
        rows.append(f'<tr><th scope="row">{level2text[level]}</th>{cells}</tr>')
    body = f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
    rungs = ", ".join(Counter(result.prediction.rungs))
    caption = f"<caption>Most likely severities ({escape(rungs)})</caption>"
    return html.scrolling(f'<table class="cells">{caption}{body}</table>', "Severities")


def _cell(result: StudyResult, cell: int, within: Callable[[int, str], str]) -> str:
    chances, opening_mm = result.prediction.probabilities[cell], result.openings_mm[cell]
    colours = [style.severity2colour[name] for name in SEVERITIES]
    spans = "".join(
        f'<span style="background:{colour};width:{chance:.1%}"></span>'
        for colour, chance in zip(colours, chances)
    )
    measured = "not measured" if np.isnan(opening_mm) else f"{opening_mm:.1f} mm"
    text = (
        f"<b>{SEVERITIES[chances.argmax()]}</b> {chances.max():.0%}"
        f'<span class="bar" role="img" aria-label="{_chances(chances)}">{spans}</span>{measured}'
    )
    return f'<td style="background:{_tint(chances)}">{within(cell, text)}</td>'


def _tint(chances: np.ndarray) -> str:
    return "#" + "".join(f"{round(float(part)):02x}" for part in style.severity_rgb(chances))


def _planes(result: StudyResult) -> list[str]:
    """A figure for canal, foramina and recesses, as far as places were found."""
    examination, study = result.examination, result.study
    located = located_in(study, examination.crops) if examination else shipped_localiser().locate_study(study)
    parts = []
    for place, name in place2name.items():
        points = tuple(point for point in located.points if point.landmark.place == place)
        if points:
            picture = overlay(study, Located(points, located.abstained, located.reason))
            parts.append(html.figure(picture, f"{name}. A percentage beside a point marks a guess."))
    return parts or [html.figure(overlay(study, located), "Nothing was found on these slices.")]


def _views(examination: Examination) -> list[str]:
    """The views by condition, folded but for the first."""
    parts = [html.paragraph(LOOKED_AT)]
    for condition in CONDITIONS:
        figures = [
            view_figure(examination, number)
            for number, slot in enumerate(SLOTS)
            if CELLS[slot.cell].condition == condition and examination.crops.shown[number]
        ]
        shown = html.grid(figures) if figures else html.paragraph("No series shows it.")
        title = f"{condition2text[condition]} ({len(figures)} views)"
        parts.append(html.folded(title, shown, is_open=condition == CONDITIONS[0]))
    return parts


def view_figure(examination: Examination, number: int) -> str:
    """One of SLOTS with what is predicted from it alone."""
    return html.figure(slot_png(examination, number), _view_text(examination, number))


def _view_text(examination: Examination, number: int) -> str:
    """What one view says alone, and how sure its place is."""
    slot, crops = SLOTS[number], examination.crops
    chances, confidence = examination.view_probabilities[number], crops.confidences[number]
    level, view = level2text[CELLS[slot.cell].level], VIEWS[slot.view].sequence
    weights = ", ".join(f"{weight:.0%}" for weight in examination.slice_weights[number])
    place = f"{confidence:.0%} sure" if confidence > 0 else "not found, so cut where it usually lies"
    return f"{level}, {view}. Alone: {_chances(chances)}. Attention: {weights}. Place: {place}."


def _chances(chances: np.ndarray) -> str:
    return ", ".join(f"{name} {chance:.0%}" for name, chance in zip(SEVERITIES, chances))


def _ledger_table(result: StudyResult) -> str:
    """Faults by kind, without the names of files, which may be a patient's."""
    counts = Counter(
        (fault.code, fault.action, "-" if fault.series_id is None else fault.series_id, fault.detail)
        for fault in result.ledger
    )
    if not counts:
        return html.paragraph("Nothing.")
    rows = [[count, *row] for row, count in counts.items()]
    table = pd.DataFrame(rows, columns=["count", "code", "action", "series", "detail"])
    return html.scrolling(html.table(table, "The ledger of faults and decisions."), "Ledger")
