"""Imports only point down: a room imports from the floors below it and from itself, never upwards."""

import ast
from pathlib import Path

import pytest

KITLIB = Path(__file__).parents[1] / "kitlib"
ROOM2FLOOR = {
    "terms": 0, "errors": 0, "machine": 0, "artefacts": 0, "competition": 1, "mri": 1, "phantom": 2, "nn": 2,
    "prepare": 3, "evaluate": 3, "embed": 4, "localise": 4, "inputs": 5, "models": 6, "ensemble": 7,
    "experiments": 7, "predict": 8, "run": 9, "report": 9, "commands": 10, "cli": 11,
}  # fmt: skip
FILES = sorted(KITLIB.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(KITLIB).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return {module.split(".")[1] for module in modules if module.startswith("kitlib.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KITLIB)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    for other in imported_rooms(path) - {room}:
        same_floor_as_base = ROOM2FLOOR[other] == ROOM2FLOOR[room] == 0
        assert ROOM2FLOOR[other] < ROOM2FLOOR[room] or same_floor_as_base, f"{room} imports {other}"


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} - {"__init__", "__main__"} <= set(ROOM2FLOOR)
