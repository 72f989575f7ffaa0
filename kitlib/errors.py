"""All errors of the kit. Each says what is wrong, where and what to do next, and has a stable code.

KitError
├── UsageError          usage       an unknown parameter, option or name
├── DataError           data        the user's input; subclasses:
│   ├── RootError       data.root        no competition folder where one was expected
│   ├── TableError      data.table       a CSV table that cannot be used
│   └── SubmissionError data.submission  a submission that Kaggle would refuse
├── SliceError          slice.*     one DICOM file; its code is that of the fault in the ledger
├── ArtefactError       artefact    a saved file that is missing, truncated or altered
├── WeightsError        weights     network weights that are missing or do not fit
├── ExtraMissingError   extra       an optional library that is not installed
├── ModelError          model       a model that cannot be fitted or applied to the data given
└── StepError           step        a notebook that did not run to completion
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class KitError(Exception):
    """Base error: what is wrong, where, and a hint on what to do next.

    >>> try:
    ...     find_root("nowhere")
    ... except KitError as error:
    ...     print(error.code, "|", error.what)
    data.root | the folder does not exist
    """

    code = "kit"

    def __init__(self, what: str, *, where: object = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, str(where), hint
        super().__init__(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # An error that cannot be unpickled hangs or breaks the pool whose worker raised it.
        return type(self).__new__, (type(self),), vars(self)

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f" {self.hint}" if self.hint else ""
        return f"[{self.code}] {self.what}{place}.{advice}"


class UsageError(KitError):
    """An unknown parameter, option or name."""

    code = "usage"


def known_name(name: str, known: Iterable[str], what: str, *, where: object = "") -> None:
    """Raise UsageError, suggesting the closest known name, unless `name` is in `known`."""
    known = list(known)
    if name in known:
        return
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(known)}."
    raise UsageError(f"unknown {what} {name!r}", where=where, hint=hint)


def refuse_taken(name: str, kind: type, known: Mapping[str, type], what: str) -> None:
    """Raise UsageError if `known` holds a different class under this name.

    Redefining the same class, as when a notebook cell is run again, is allowed.
    """
    other = known.get(name, kind)
    if (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
        raise UsageError(
            f"{what} {name!r} is registered already, by {other.__name__}", hint="Choose another name."
        )


class DataError(KitError):
    """Input data that cannot be used."""

    code = "data"


class RootError(DataError):
    """No competition folder where one was expected."""

    code = "data.root"


class TableError(DataError):
    """A CSV table that cannot be used."""

    code = "data.table"


class SubmissionError(DataError):
    """A submission that Kaggle would refuse."""

    code = "data.submission"


class SliceError(KitError):
    """One DICOM file that cannot be used; `code` is the ledger code of its fault."""

    def __init__(self, code: str, what: str, *, where: object = "", hint: str = "") -> None:
        self.code = code
        super().__init__(what, where=where, hint=hint)


class ArtefactError(KitError):
    """A saved file that is missing, truncated or altered."""

    code = "artefact"


class WeightsError(KitError):
    """Network weights that are missing or do not fit."""

    code = "weights"


class ExtraMissingError(KitError):
    """An optional library that is not installed."""

    code = "extra"


class ModelError(KitError):
    """A model that cannot be fitted or applied to the data given."""

    code = "model"


class StepError(KitError):
    """A notebook that did not run to completion."""

    code = "step"
