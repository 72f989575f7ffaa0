"""Tables of labelled places on noise images, in which a bright square is wider the less severe the place."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kitlib.terms import LEVELS, SEVERITIES, level2text

SIDE_PX, MIDDLE_PX = 80, 40


def labelled_table(folder: Path, studies: int = 8) -> Path:
    """For each study, a foramen at each of five levels, and a canal on three neighbouring axial slices."""
    rng, rows = np.random.default_rng(0), []
    folder.mkdir(exist_ok=True)
    for study in range(studies):
        for number, level in enumerate(LEVELS):
            severity, name = (study + number) % 3, f"{study}_{level}"
            one, three = _drawn(severity, rng), np.stack([_drawn(severity, rng) for _ in range(3)], axis=-1)
            Image.fromarray(one).save(folder / f"{name}.png")
            Image.fromarray(three).save(folder / f"{name}_axial.png")
            place = {
                "study_id": f"s{study}", "level": level2text[level], "x": MIDDLE_PX, "y": MIDDLE_PX,
                "spacing_mm": 0.7, "severity": SEVERITIES[severity],
            }  # fmt: skip
            foramen = {"sequence": "Sagittal T1", "place": "foramen", "side": "left"}
            canal = {"sequence": "Axial T2", "place": "canal", "side": ""}
            rows.append(place | foramen | {"image": f"{name}.png"})
            rows.append(place | canal | {"image": f"{name}_axial.png"})
    file = folder / "labels.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


def changed_table(file: Path, **columns: object) -> Path:
    """The same table with columns replaced; None removes one."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    gone = [name for name, values in columns.items() if values is None]
    kept = {name: values for name, values in columns.items() if values is not None}
    table.assign(**kept).drop(columns=gone).to_csv(file, index=False)
    return file


def _drawn(severity: int, rng: np.random.Generator) -> np.ndarray:
    image = rng.integers(1, 90, (SIDE_PX, SIDE_PX), np.uint8)
    half = 14 - 5 * severity
    image[MIDDLE_PX - half : MIDDLE_PX + half, MIDDLE_PX - half : MIDDLE_PX + half] = 220
    return image
