"""A person's lumbar anatomy: drawn once, painted on any set of slices."""

from dataclasses import dataclass

import numpy as np

from kitlib.phantom import bones, canal, foramina, torso
from kitlib.phantom.canal import RECESS_MM, Canal
from kitlib.phantom.grid import Canvas
from kitlib.phantom.openings import Openings, draw_openings
from kitlib.phantom.spine import SIDES, Spine, draw_spine
from kitlib.phantom.torso import Torso
from kitlib.terms import CELLS, LEVELS, Cell

TABLE_MM = (8.0, 40.0, 150.0)  # scatter of the patient's place in the scanner


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A spine, its canal and the body around it, in millimetres (LPS) from the middle of L3."""

    spine: Spine
    openings: Openings
    canal: Canal
    torso: Torso
    at_mm: np.ndarray  # (3,) where the middle of L3 lies in the scanner

    def place_mm(self, cell: Cell) -> np.ndarray:
        """Where a cell is graded, (3,) in the scanner: the middle of its canal, foramen or recess."""
        level, side = LEVELS.index(cell.level), -1 if cell.side == "right" else 1
        if cell.group == "foraminal":
            return self.at_mm + foramina.foramen_mm(self.spine, level, side)
        return self.at_mm + self.canal.middle(level, side * RECESS_MM if cell.side else 0.0)

    def opening_mm(self, cell: Cell) -> float:
        """What is open there, front to back."""
        level, side = LEVELS.index(cell.level), -1 if cell.side == "right" else 1
        if cell.group == "foraminal":
            return foramina.foramen_width_mm(self.openings.foramen[level, SIDES.index(side)])
        return self.canal.depth_mm(level, side * RECESS_MM if cell.side else 0.0)

    def paint(self, canvas: Canvas) -> None:
        """Paint all tissues on a canvas of air."""
        torso.paint_torso(canvas, self.torso)
        torso.paint_abdomen(canvas, self.torso)
        bones.paint_sacral_wings(canvas, self.spine)
        for index, disc in enumerate(self.spine.discs):
            bones.paint_disc(canvas, disc, index)
        for vertebra in self.spine.vertebrae:
            bones.paint_body(canvas, vertebra)
        bones.paint_posterior(canvas, self.spine, self.openings)
        canal.paint_canal(canvas, self.canal)
        foramina.paint_foramina(canvas, self.spine, self.canal, self.openings)


def draw_anatomy(grades: np.ndarray, rng: np.random.Generator) -> Anatomy:
    """The anatomy of continuous severities (25,) in the order of CELLS."""
    if grades.shape != (len(CELLS),):
        raise ValueError(f"grades have shape {grades.shape}, not ({len(CELLS)},)")
    spine = draw_spine(grades, rng)
    openings = draw_openings(grades, rng)
    tube = canal.draw_canal(spine, openings, rng)
    around = torso.draw_torso(spine, tube, rng)
    return Anatomy(spine, openings, tube, around, rng.normal(0, TABLE_MM))
