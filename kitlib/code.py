"""What code a class is made of, as a fingerprint: what other code has made is then known to be old."""

import ast
import contextlib
import hashlib
import inspect
import sys
from functools import cache
from pathlib import Path

from kitlib import _name2module
from kitlib.artefacts import fingerprint

KIT = Path(__file__).parent
LEFT_OUT = ("mri", "phantom", "errors.py", "machine.py", "cluster.py")
"""Rooms that make images, which have fingerprints of their own, and modules that shape no result."""
GEOMETRY = ("mri/stack.py", "mri/study.py")
"""Counted all the same: crops, the localiser and the places of tokens run on them."""


@cache
def code_fingerprint(*kinds: type) -> str:
    """Changes with the modules of classes and of their bases, and with all that these import of the kit.

    Imports inside functions count too, and a comment is code like anything else. Of a class in a notebook
    the cells of its functions count. Not seen are a notebook's other cells, a user's own modules that the
    class uses and does not derive from, and what is reached as an attribute of `kitlib` or of a room of it.
    Files are read once a process, which goes on with the code that it has loaded.
    """
    bases = [base for kind in kinds for base in kind.__mro__]
    sources = {f"{base.__module__}.{base.__qualname__}": _foreign_source(base) for base in bases}
    todo = [base.__module__ for base in bases]
    todo += [name for text in sources.values() for name in imports_in(text)]
    while todo:
        file = module_file(todo.pop())
        if file is not None and str(file) not in sources:
            sources[str(file)] = file.read_text(encoding="utf-8")
            todo += imports_in(sources[str(file)])
    return fingerprint({name.removeprefix(str(KIT)): text for name, text in sources.items()})


def module_file(name: str) -> Path | None:
    """The file of a counted module of the kit, or of the one that something of this name is in; or None."""
    first, _, rest = name.partition(".")
    if first != "kitlib" or not rest:
        return None
    path = KIT.joinpath(*_name2module.get(rest, rest).split("."))
    places = (path.with_suffix(".py"), path / "__init__.py", path.parent.with_suffix(".py"))
    file = next((place for place in places if place.is_file()), None)
    return file if file and _counts(file.relative_to(KIT)) else None


@cache
def imports_in(text: str) -> tuple[str, ...]:
    """The names that a source imports, anywhere in it; none of a text that is no Python, such as a page's."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ()
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return tuple(found)


def _counts(place: Path) -> bool:
    return place.parts[0] not in LEFT_OUT or place.as_posix() in GEOMETRY


def _foreign_source(kind: type) -> str:
    """The module of a class that is neither the kit's nor Python's, as text; in a notebook, its cells."""
    first = kind.__module__.partition(".")[0]
    if first == "kitlib" or first in sys.stdlib_module_names:
        return ""
    with contextlib.suppress(KeyError, OSError, TypeError):
        return inspect.getsource(sys.modules[kind.__module__])
    cells = set()  # a notebook has no file, and Python finds the text of functions there, never of classes
    for function in filter(inspect.isfunction, vars(kind).values()):
        if function.__module__ == kind.__module__:  # not one of Python's
            with contextlib.suppress(OSError):  # such as one that dataclass has made
                cells.add("".join(inspect.findsource(function)[0]))
    return "\n".join(sorted(cells))


@cache
def library_code() -> str:
    """The source of all modules of the kit, in sixteen digits."""
    digest = hashlib.sha256()
    for path in sorted(KIT.rglob("*.py")):
        digest.update(path.relative_to(KIT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
