"""A naive loader for comparison: glob, sort by InstanceNumber, skip errors.

It runs in its own process, because it may crash or hang.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
from pydicom import dcmread

PATIENCE_S = 60.0
ENDS, LACKS, CHANGED, UNHARMED = "ends", "lacks a series", "other pixels, no word", "unharmed"

Read = Mapping[str, Mapping[str, str]]
"""The sha256 of the pixels by study and sequence."""


def load_study(folder: Path, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Load the volumes of a study by sequence."""
    volumes = {}
    for series_id, description in zip(rows["series_id"], rows["series_description"]):
        slices = []
        for path in (folder / str(series_id)).glob("*.dcm"):
            with suppress(Exception):
                dataset = dcmread(path)
                slices.append((int(dataset.InstanceNumber), dataset.pixel_array))
        with suppress(Exception):
            volumes[description] = np.stack([pixels for _, pixels in sorted(slices, key=itemgetter(0))])
    return volumes


def naive_reading(root: Path) -> Read | None:
    """Read a competition's test studies with the naive loader; None if it crashes or times out."""
    command = [sys.executable, "-W", "ignore", "-m", __name__, str(root)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
    except subprocess.SubprocessError:
        return None
    return json.loads(done.stdout)


def verdict(found: Read | None, whole: Read, study_id: int, origin: int) -> str:
    """The effect of a damage on the naive loader, for a study whose images are those of `origin`."""
    if found is None:
        return ENDS
    own, expected = found.get(str(study_id), {}), whole[str(origin)]
    if not expected.keys() <= own.keys():
        return LACKS
    return UNHARMED if own == expected else CHANGED


def _main(root: Path) -> None:
    table = pd.read_csv(root / "test_series_descriptions.csv")
    found = {}
    for study_id, rows in table.groupby("study_id"):
        volumes = load_study(root / "test_images" / str(study_id), rows)
        found[str(study_id)] = {
            word: hashlib.sha256(pixels.astype(np.int32).tobytes()).hexdigest()
            for word, pixels in volumes.items()
        }
    print(json.dumps(found))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
