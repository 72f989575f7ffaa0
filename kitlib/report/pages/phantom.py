"""The page that shows what the phantoms look like and how far they can be trusted."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

import kitlib.phantom
from kitlib.artefacts import write_text
from kitlib.competition.root import find_root
from kitlib.errors import DataError, UsageError
from kitlib.machine import peak_memory_mb, torch_threads
from kitlib.phantom.labels import draw_labels
from kitlib.phantom.oracle import draw_marks
from kitlib.phantom.scan.prescription import size_named
from kitlib.phantom.statistics import compare, largest
from kitlib.phantom.study import PhantomStudy, draw_study
from kitlib.report.figures import phantom as figures
from kitlib.report.figures.phantom import CLOSE_UPS, GRADES, RealSlice, read_real
from kitlib.report.pages import html
from kitlib.terms import CELLS, Cell

AS_IN_NATURE = (1, 2, 3)
"""Study ids of phantoms whose grades are drawn."""
RAISED = (11, 12)
"""Study ids of phantoms in which one cell is raised above the lowest grade."""
LABELLED_STUDIES = 2000

TITLE = "Phantoms of the lumbar spine"
LEAD = """
These studies were drawn by the kit: no patient is in them. Spine, canal, foramina and recesses are solids
whose openings follow from the grade of each cell; three sequences are imaged from tissue parameters, and
labels are what readers would write. Every caption says whether it shows phantoms or patients.
"""
PLANES = """
Phantoms: whole slices through the canal, the left foramen and the left recess at L4/L5, with severities as in
nature. Window: 1st to 99.5th percentile of each slice.
"""
SEVERITIES = """
A row is one person, in whom only the grade of the cell at the middle differs; all other cells are normal.
Window: 1st to 99.5th percentile of the row's first square.
"""
BESIDE_REAL = """
Window: 1st to 95th percentile of each slice, because the real files came with some 5 % of their pixels
saturated. The real slices (SPIDER, CC BY 4.0) state no spacing: all are scaled to the same height, and the
bar holds for the phantoms alone. Contrast and place of the real slices were judged by eye.
"""
AGAINST_REAL = """
Phantoms against the {yardstick}. A point is a cell and severity, or a pair of cells. Bands: within .02 (left)
and .1 (right) of it.
"""
BEST_SCORE = """
Readers differ, so no model can be perfect: the oracle knows the true anatomy and the law of the readers'
noise, but not what they wrote. On phantoms a model that has learnt anything stands between the prior and the
oracle (competition metric, lower is better).
"""


@dataclass(eq=False)
class Artist:
    """Draws the page's phantoms and keeps their seconds, and peaks of memory: at the start and after each."""

    seed: int
    size: str
    step: Callable[[], object]
    seconds: list[float] = field(default_factory=list)
    peaks_mb: list[float] = field(default_factory=lambda: [peak_memory_mb()])

    def draw(self, study_id: int, grades: np.ndarray | None = None) -> PhantomStudy:
        """A phantom with all series; without grades (25,), with those that nature would give it."""
        started_s = time.process_time()
        with torch_threads(1):
            study = draw_study(study_id, seed=self.seed, size=self.size, missing_rate=0, grades=grades)
        self.seconds.append(time.process_time() - started_s)
        self.peaks_mb.append(peak_memory_mb())
        self.step()
        return study

    def raised(self, study_id: int, cells: Iterable[Cell]) -> dict[Cell, list[PhantomStudy]]:
        """For each cell the same person, with that cell at each of GRADES and all others at the lowest."""
        first = self.draw(study_id, np.full(len(CELLS), GRADES[0]))
        people = {}
        for cell in cells:
            is_raised = np.array([other == cell for other in CELLS])
            others = [self.draw(study_id, np.where(is_raised, grade, GRADES[0])) for grade in GRADES[1:]]
            people[cell] = [first, *others]
        return people


def write_page(out: Path, *, real: Path | None, seed: int, size: str = "demo", progress: bool = True) -> Path:
    """Draw phantoms and write the page about them, whole or not at all; the path comes back.

    `real` may hold spider/images and tables/train.csv of patients, of which the page shows what is there.
    UsageError and DataError for what cannot be done.
    """
    out = Path(out)
    html.refuse_unwritable(out)
    size_named(size)
    if seed < 0:
        raise UsageError(f"the seed is {seed}, below zero")
    real_slices, real_labels = _read_real(real)
    cells = list(dict.fromkeys(close_up.cell for close_up in CLOSE_UPS))
    draws = len(AS_IN_NATURE) + len(RAISED) * (1 + len(cells) * (len(GRADES) - 1))
    with tqdm(total=draws, desc="phantoms", unit="study", mininterval=1, disable=not progress) as bar:
        artist = Artist(seed, size, bar.update)
        natural = [artist.draw(study_id) for study_id in AS_IN_NATURE]
        sections = {
            "Three planes": [html.figure(figures.planes(natural), PLANES)],
            "Three severities": _severities(artist, cells),
            "Beside real slices": _beside_real(real_slices, natural),
            "Labels": _labels(draw_labels(LABELLED_STUDIES, seed=seed), real_labels),
            "The best possible score": _scores(seed),
            "Time and memory": _cost(artist),
            "What still gives a phantom away": [html.paragraph(_gives_away())],
        }
    try:
        write_text(out, html.page(TITLE, LEAD, sections))
    except OSError as error:
        raise DataError(f"the page cannot be written: {error}", where=out, hint="Choose another.") from error
    return out


def _read_real(real: Path | None) -> tuple[dict[str, list[RealSlice]], np.ndarray | None]:
    """Slices by sequence and label codes (n, 25) of patients, as far as they are there."""
    if real is None:
        return {}, None
    if not Path(real).is_dir():
        raise DataError("there is no such folder of real data", where=real, hint="Leave it out.")
    tables = Path(real) / "tables"
    labels = find_root(tables).train_labels().to_numpy() if tables.is_dir() else None
    return read_real(Path(real) / "spider" / "images"), labels


def _severities(artist: Artist, cells: Iterable[Cell]) -> list[str]:
    """A figure for each close-up; those of one cell share their phantoms."""
    people = [artist.raised(study_id, cells) for study_id in RAISED]
    parts = [html.paragraph(SEVERITIES)]
    for close_up in CLOSE_UPS:
        picture = figures.severities(close_up, [person[close_up.cell] for person in people])
        caption = f"Phantoms: {close_up.title}, L4/L5, {close_up.crop_mm} mm wide."
        parts.append(html.figure(picture, caption))
    return parts


def _beside_real(slices: dict[str, list[RealSlice]], natural: Sequence[PhantomStudy]) -> list[str]:
    if not slices:
        return [html.paragraph("No real slices were given, so none stand here.")]
    pictures = [figures.beside_real(sequence, real, natural) for sequence, real in slices.items()]
    captions = [f"{sequence}: above, REAL slices of patients; below, phantoms." for sequence in slices]
    return [html.paragraph(BESIDE_REAL), *map(html.figure, pictures, captions)]


def _labels(drawn: np.ndarray, real: np.ndarray | None) -> list[str]:
    compared = compare(drawn, real)
    yardstick = "published counts" if real is None else f"real table of {len(real):,} studies"
    top = largest(compared)
    inside = top["within_count"].astype(str) + " of " + top["count"].astype(str)
    top = top.drop(columns=["count", "within_count", "within"]).assign(within=inside)
    written = compared.assign(within=compared["within"].map({True: "yes", False: "NO"}))
    text = f"Labels of {len(drawn):,} drawn phantoms beside the {yardstick}."
    if real is None:
        text += " No real table was given, so correlations have nothing to stand beside."
    caption = "Largest difference (drawn less real) of each group, and how many lie within the bound."
    return [
        html.paragraph(text),
        html.table(top, caption),
        html.figure(figures.drawn_against_real(compared), AGAINST_REAL.format(yardstick=yardstick)),
        html.folded("All statistics", html.table(written, "Every statistic; correlations are Spearman's.")),
    ]


def _scores(seed: int) -> list[str]:
    baselines = draw_marks(LABELLED_STUDIES, seed=seed)
    scores = pd.DataFrame([{"prediction": name, **vars(total)} for name, total in baselines.items()])
    caption = f"Phantoms: labels of {LABELLED_STUDIES} studies drawn without images."
    return [html.paragraph(BEST_SCORE), html.table(scores.round(3), caption)]


def _cost(artist: Artist) -> list[str]:
    """Peaks are those before any figure is drawn."""
    rows = {
        "phantoms drawn": f"{len(artist.seconds)} of size {artist.size}",
        "processor seconds of one, median": f"{np.median(artist.seconds):.2f}",
        "processor seconds of one, largest": f"{max(artist.seconds):.2f}",
        "peak memory before the first": f"{artist.peaks_mb[0]:.0f} MB",
        f"peak memory after the first {len(AS_IN_NATURE)}": f"{artist.peaks_mb[len(AS_IN_NATURE)]:.0f} MB",
    }
    table = pd.DataFrame(rows.items(), columns=["measured", "value"])
    return [html.table(table, "The phantoms of this page, drawn on one thread; memory with all libraries.")]


def _gives_away() -> str:
    """The package's own words."""
    _, _, rest = (kitlib.phantom.__doc__ or "").partition("What still gives a phantom away:")
    words = " ".join(rest.split())
    return words[:1].upper() + words[1:]
