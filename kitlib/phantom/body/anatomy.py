"""A person's lumbar anatomy: drawn once, painted on any slices, and measured at the graded places."""

from dataclasses import dataclass

import numpy as np

from kitlib.phantom.body import abdomen, arches, bones, canal, foramina, openings, torso
from kitlib.phantom.body.canal import Canal
from kitlib.phantom.body.grid import Canvas
from kitlib.phantom.body.openings import Openings
from kitlib.phantom.body.person import Person, draw_person
from kitlib.phantom.body.section import RECESS_MM
from kitlib.phantom.body.spine import Spine, draw_spine
from kitlib.phantom.body.torso import Torso
from kitlib.terms import CELLS, LEVELS, Cell

TABLE_MM = (8.0, 40.0, 150.0)  # standard deviation of the patient's position in the scanner


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A person, the spine, its canal and the body around it, in millimetres (LPS) from the middle of L3."""

    person: Person
    spine: Spine
    openings: Openings
    canal: Canal
    torso: Torso
    at_mm: np.ndarray  # (3,) position of the middle of L3 in the scanner

    def place_mm(self, cell: Cell) -> np.ndarray:
        """Return a cell's position (3,) in the scanner: the middle of its sac, foramen or recess."""
        if cell.group == "foraminal":
            return self.at_mm + self._foramen(cell).place_mm
        return self.at_mm + self.canal.middle(LEVELS.index(cell.level), _lateral_mm(cell))

    def measures(self, cell: Cell) -> dict[str, float]:
        """Measure the painted anatomy at a cell; these values determine its severity."""
        if cell.group == "foraminal":
            hole = self._foramen(cell)
            return {"width_mm": hole.measured_mm(), "root_mm": hole.root_mm}
        level = LEVELS.index(cell.level)
        depth = {"depth_mm": self.canal.depth_mm(level, _lateral_mm(cell))}
        return depth if cell.side else depth | {"area_mm2": self.canal.area_mm2(level)}

    def opening_mm(self, cell: Cell) -> float:
        """Return a cell's opening, front to back."""
        return next(iter(self.measures(cell).values()))

    def severity(self, cell: Cell) -> int:
        """Return severity 0, 1 or 2 by the thresholds on a cell's measures."""
        return openings.severity(cell.group, self.measures(cell))

    def paint(self, canvas: Canvas) -> None:
        """Paint all tissues on a canvas of air, metal last."""
        torso.paint_torso(canvas, self.torso)
        abdomen.paint_vessels(canvas, self.torso.abdomen)
        bones.paint_sacral_wings(canvas, self.spine)
        for index in range(len(self.spine.discs)):
            bones.paint_disc(canvas, self.spine, index)
        for vertebra in self.spine.vertebrae:
            bones.paint_body(canvas, vertebra)
        arches.paint_posterior(canvas, self.spine, self.openings)
        canal.paint_canal(canvas, self.canal)
        foramina.paint_foramina(canvas, self.spine, self.canal, self.openings)
        bones.paint_metal(canvas, self.spine)

    def _foramen(self, cell: Cell) -> foramina.Foramen:
        column = ("left", "right").index(cell.side or "left")
        return foramina.foramen(self.spine, self.openings, LEVELS.index(cell.level), column)


def draw_anatomy(grades: np.ndarray, rng: np.random.Generator) -> Anatomy:
    """Draw an anatomy with these continuous severities (25,) in the order of CELLS."""
    if grades.shape != (len(CELLS),):
        raise ValueError(f"grades have shape {grades.shape}, not ({len(CELLS)},)")
    lots = dict(zip(("person", "spine", "openings", "canal", "torso", "table"), rng.spawn(6)))
    person = draw_person(grades, lots["person"])
    spine = draw_spine(person, grades, lots["spine"])
    opened = openings.draw_openings(grades, lots["openings"])
    tube = canal.draw_canal(spine, opened, lots["canal"])
    around = torso.draw_torso(person, spine, tube, lots["torso"])
    return Anatomy(person, spine, opened, tube, around, lots["table"].normal(0, TABLE_MM))


def _lateral_mm(cell: Cell) -> float:
    """Return the lateral position in the canal's cross-section at which a cell is measured."""
    return {"left": RECESS_MM, "right": -RECESS_MM}.get(cell.side or "", 0.0)
