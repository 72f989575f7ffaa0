"""Weights inside installed packages: files are found by a package's metadata and read as data.

No code of a package is imported or run.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from kitlib.errors import WeightsError


def package_file(package: str, suffix: str, hint: str) -> Path:
    """Return a package's only file with this suffix. Raises WeightsError if package or file is missing."""
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
    """Build the error for a package with other contents."""
    return WeightsError("the package's weights are not those published", where=package, hint=hint)
