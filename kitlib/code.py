"""What code a class is made of, as a fingerprint: what other code has made is then known to be old."""

import ast
import hashlib
import inspect
import sys
import textwrap
from functools import cache
from pathlib import Path

from kitlib.artefacts import fingerprint

KIT = Path(__file__).parent
DATA_ROOMS = ("mri", "phantom")
"""Rooms that make images. Images have fingerprints of their own, so this code is left out."""


@cache
def code_fingerprint(*kinds: type) -> str:
    """Changes with the modules of classes and of their bases, and with all that these import of the kit.

    Imports inside functions count too, and a comment is code like anything else. Files are read once a
    process, which goes on with the code that it has loaded.
    """
    sources = {f"{kind.__module__}.{kind.__qualname__}": _foreign_source(kind) for kind in kinds}
    todo = [base.__module__ for kind in kinds for base in kind.__mro__]
    todo += [name for text in sources.values() for name in imports_in(text)]
    while todo:
        file = module_file(todo.pop())
        if file is not None and str(file) not in sources:
            sources[str(file)] = file.read_text(encoding="utf-8")
            todo += imports_in(sources[str(file)])
    return fingerprint({name.removeprefix(str(KIT)): text for name, text in sources.items()})


def module_file(name: str) -> Path | None:
    """The file of a module of the kit, or of the module that something of this name is in; else None."""
    first, *rest = name.split(".")
    if first != "kitlib" or not rest or rest[0] in DATA_ROOMS:
        return None
    path = KIT.joinpath(*rest)
    places = (path.with_suffix(".py"), path / "__init__.py", path.parent.with_suffix(".py"))
    return next((place for place in places if place.is_file()), None)


@cache
def imports_in(text: str) -> tuple[str, ...]:
    """The names that a source imports, anywhere in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return tuple(found)


def _foreign_source(kind: type) -> str:
    """The source of the module of a class that is not the kit's; in a notebook, of the class alone."""
    if kind.__module__.startswith("kitlib."):
        return ""
    for place in (sys.modules.get(kind.__module__), kind):
        try:
            return textwrap.dedent(inspect.getsource(place))  # type: ignore[arg-type]
        except (OSError, TypeError):  # a notebook has no file, an interpreter no text either
            continue
    return ""


@cache
def library_code() -> str:
    """The source of all modules of the kit, in sixteen digits."""
    digest = hashlib.sha256()
    for path in sorted(KIT.rglob("*.py")):
        digest.update(path.relative_to(KIT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
