"""Weights that packages of the index hold: files found by a package's metadata, and read as data.

Nothing of a package is imported or run.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from kitlib.errors import WeightsError


def package_file(package: str, suffix: str, hint: str) -> Path:
    """The one file of a package with this suffix; WeightsError where the package or its file is absent."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        raise WeightsError(
            "the package of these weights is not installed", where=package, hint=hint
        ) from None
    found = [Path(str(file.locate())) for file in files if file.suffix == suffix]
    if len(found) != 1 or not found[0].is_file():
        raise altered(package, hint)
    return found[0]


def altered(package: str, hint: str) -> WeightsError:
    """The error for a package that holds something else."""
    return WeightsError("the package's weights are not those published", where=package, hint=hint)
