"""Landmarks found in a study, and how they are written down."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kitlib.terms import Landmark, level2text


@dataclass(frozen=True, eq=False)
class Point:
    """A landmark on the slice that shows it."""

    landmark: Landmark
    series_id: int
    instance_number: int
    x: float  # column and row in the instance's native pixels
    y: float
    patient_mm: np.ndarray  # (3,) LPS
    confidence: float  # chance that it is the right landmark

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the level as the competition spells it."""
        place, level, side = self.landmark
        return {
            "landmark": place,
            "level": level2text.get(level, level.upper().replace("_", "/")),
            "side": side,
            "series_id": self.series_id,
            "instance_number": self.instance_number,
            "x": round(self.x, 2),
            "y": round(self.y, 2),
            "patient_mm": [round(float(value), 2) for value in self.patient_mm],
            "confidence": round(float(self.confidence), 4),
        }


@dataclass(frozen=True, eq=False)
class Located:
    """What was found in a series or study; an abstention gives a reason and no points to trust."""

    points: tuple[Point, ...]
    abstained: bool
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that `python -m kitlib localise` prints."""
        points = [point.to_json() for point in self.points]
        return {"points": points, "abstained": self.abstained, "reason": self.reason}
