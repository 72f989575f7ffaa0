"""The Kaggle sessions of a submission: their order, notebooks, inputs and environment variables."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import kitlib
from kitlib.competition.root import SLUG, Competition
from kitlib.kaggle.build import DATASET_FILE, KERNEL_FILE, kernel_slug
from kitlib.run.steps import STEPS, Step

FLAT = {"competition": "{slug}", "dataset": "{slug}", "notebook": "{slug}"}
NESTED = {
    "competition": "competitions/{slug}",
    "dataset": "datasets/{owner}/{slug}",
    "notebook": "notebooks/{owner}/{slug}",
}
"""Where inputs are mounted under /kaggle/input; it depends on the image's year."""
VARIABLES = {
    "interactive": {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"},
    "batch": {"KAGGLE_KERNEL_RUN_TYPE": "Batch"},
    "rerun": {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "KAGGLE_IS_COMPETITION_RERUN": "1"},
}
NOT_THERE = ("KAGGLE", "PYTHON", "JUPYTER", "HF_", "XDG_", "KITLIB")
"""Prefixes of this machine's environment variables that a session on Kaggle does not see."""
VISIBLE = "visible"
"""The folder, next to those of the sessions, for tables with only the first test study."""
PUBLISHED = ("train*", "test_[is]*", "sample_submission*")
"""The competition's files, without test_labels.csv and the phantoms' ground truth."""


@dataclass(frozen=True)
class Session:
    """One run of one notebook: "interactive", saved ("batch"), or by the scorer on the hidden test set."""

    step: Step
    kind: str
    places: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of the session and of its folder."""
        return f"{self.step.name}-{self.kind}"

    @property
    def predicts(self) -> bool:
        """Whether its time grows with the test studies rather than the training studies."""
        return self.step is STEPS[-1]

    def environment(self, folder: Path, isolated: bool) -> dict[str, str]:
        """This machine's variables and Kaggle's, a home and a temporary folder; without access to the hub."""
        here = {name: text for name, text in os.environ.items() if not name.startswith(NOT_THERE)}
        places = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
        places["PYTHONPATH"] = str(Path(kitlib.__file__).parents[1])
        shared = {} if isolated else {"KITLIB_KAGGLE": str(folder / "root"), "HF_HUB_OFFLINE": "1"}
        return {**here, **places, **shared, **VARIABLES[self.kind]}

    def inputs(self, build: Path, competition: Competition, sessions: Path) -> dict[str, Path]:
        """Files and folders to mount, by their path under /kaggle/input.

        `sessions` holds the earlier sessions, whose saved outputs are inputs too.
        """
        kernel = build / "kernels" / kernel_slug(self.step) / KERNEL_FILE
        metadata = json.loads(kernel.read_text(encoding="utf-8"))
        sources = {
            **{name: ("dataset", _dataset(build, name)) for name in metadata["dataset_sources"]},
            **{name: ("notebook", _saved(sessions, name)) for name in metadata["kernel_sources"]},
            f"/{SLUG}": ("competition", self._competition(competition, sessions / VISIBLE)),
        }
        inputs: dict[str, Path] = {}
        for name, (kind, files) in sources.items():
            owner, slug = name.split("/")
            place = self.places[kind].format(owner=owner, slug=slug)
            inputs |= {f"{place}/{below}": path for below, path in files.items()}
        return inputs

    def _competition(self, competition: Competition, visible: Path) -> dict[str, Path]:
        """The competition's files, with only the first test study unless this is the scorer's rerun."""
        files = {path.name: path for pattern in PUBLISHED for path in competition.root.glob(pattern)}
        if self.kind == "rerun":
            return files
        study_id = str(competition.test_study_ids()[0])
        visible.mkdir(parents=True, exist_ok=True)
        for name in [name for name in files if name.startswith(("test_s", "sample"))]:
            rows = pd.read_csv(files[name], dtype=str)
            rows[rows.iloc[:, 0].str.split("_").str[0] == study_id].to_csv(visible / name, index=False)
            files[name] = visible / name
        return files | {f"test_images/{study_id}": files.pop("test_images") / study_id}


def _dataset(build: Path, name: str) -> dict[str, Path]:
    files = (build / "datasets" / name.split("/")[1]).iterdir()
    return {path.name: path for path in files if path.name != DATASET_FILE}


def _saved(sessions: Path, name: str) -> dict[str, Path]:
    step = next(step for step in STEPS if kernel_slug(step) == name.split("/")[1])
    return {path.name: path for path in (sessions / f"{step.name}-batch" / "working").iterdir()}


SESSIONS = (
    Session(STEPS[0], "interactive", FLAT),
    *(Session(step, "batch", NESTED) for step in STEPS[:-1]),
    Session(STEPS[-1], "batch", FLAT),
    Session(STEPS[-1], "rerun", NESTED),
)
"""The sessions of one submission, in order; together they cover every mount point of every kind of input."""
