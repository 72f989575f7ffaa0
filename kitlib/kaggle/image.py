"""Kaggle's environment for a notebook: package versions, time, memory and disk; and differences from here.

The versions are those of the Python image with a base of May 2026, taken from its public Dockerfile and
package list (docs/facts.md, 6); packages that the image does not pin are left out.
"""

import importlib.metadata
import math
import platform
from dataclasses import dataclass

import pandas as pd

from kitlib.errors import UsageError

IMAGE_DATE = "May 2026"
PYTHON = "3.12"
VERSIONS = {
    "torch": "2.10.0", "torchvision": "0.25.0", "timm": "1.0.26", "numpy": "2.0.2", "pandas": "2.2.2",
    "scikit-learn": "1.6.1", "imbalanced-learn": "0.14.1", "xgboost": "3.2.0", "lightgbm": "4.6.0",
    "pyarrow": "18.1.0", "safetensors": "0.7.0", "joblib": "1.5.3", "distributed": "2026.1.1",
    "papermill": "2.6.0", "nbconvert": "6.4.5", "ipywidgets": "8.1.5",
}  # fmt: skip
ABSENT = ("monai", "openvino", "nncf", "highdicom")
"""Packages that the kit or its users may want and the image does not have."""

TRAINING_STUDIES, HIDDEN_STUDIES = 1975, 722
ACCELERATOR = "NvidiaTeslaT4"
"""The default, a P100, cannot run the image's torch (docs/facts.md, 6)."""


@dataclass(frozen=True)
class Limits:
    """Limits of a GPU session."""

    hours: float = 9.0
    memory_gb: float = 31.0
    disk_gb: float = 20.0
    """Of the working folder."""

    def __post_init__(self) -> None:
        if not 0 < self.hours < math.inf:
            raise UsageError(f"a session cannot last {self.hours:g} hours", hint="Kaggle's last 9.")


LIMITS = Limits()


def version_differences() -> pd.DataFrame:
    """Packages whose version differs here, in columns package, kaggle, here; "" if not installed."""
    kaggle = {"python": PYTHON, **VERSIONS, **dict.fromkeys(ABSENT, "")}
    here = {"python": ".".join(platform.python_version_tuple()[:2])}
    here |= {name: _version(name) for name in kaggle if name != "python"}
    rows = [(name, kaggle[name], here[name]) for name in kaggle if kaggle[name] != here[name]]
    return pd.DataFrame(rows, columns=["package", "kaggle", "here"])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package).partition("+")[0]  # torch appends its build after a plus
    except importlib.metadata.PackageNotFoundError:
        return ""
