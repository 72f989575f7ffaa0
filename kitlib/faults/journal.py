"""Rows of a long bench, written as they come, so that a stopped bench goes on where it was."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kitlib.artefacts import write_text

Row = dict[str, Any]


@dataclass(frozen=True)
class Journal:
    """A folder with a file of rows for each part of a bench; a file of another `key` is started again."""

    folder: Path
    key: str

    def rows(self, part: str, count: int, make: Callable[[int], Iterable[Row]]) -> list[Row]:
        """Return the first `count` rows of a part: those in its file, then those of `make(number in it)`.

        A row that a kill cut off is made again.
        """
        path = self.folder / f"{part}.jsonl"
        lines = self._written(path)
        write_text(path, "".join(lines))
        found = [json.loads(line) for line in lines[1:]]
        if len(found) < count:
            with open(path, "a", encoding="utf-8") as file:
                for row in make(len(found)):
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    found.append(row)
        return found[:count]

    def _written(self, path: Path) -> list[str]:
        """The complete lines of a file, the first of which is the key."""
        head = f"{json.dumps(self.key)}\n"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return lines if lines[:1] == [head] else [head]
