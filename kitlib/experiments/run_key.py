"""Where results come from: what all that stands in one table must have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kitlib.artefacts import Provenance, facts_of, save_table


@dataclass(frozen=True)
class Origin:
    """The data and the settings of a run; whatever it saves keeps both among its facts."""

    data: str
    """All studies with their images, labels and folds, in sixteen digits."""
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path) -> "Origin":
        """The origin of an artefact; ArtefactError where there is none."""
        facts = facts_of(path)
        return cls(facts.get("data", ""), facts.get("settings", {}))

    @property
    def facts(self) -> dict[str, Any]:
        """What is kept beside an artefact, for `of`."""
        return {"data": self.data, "settings": dict(self.settings)}

    def save(self, path: Path, table: pd.DataFrame, **facts: Any) -> None:
        """Save a table as one of this origin."""
        save_table(path, table, Provenance(self.settings, {"data": self.data}), **self.facts, **facts)

    def objection(self, path: Path) -> str:
        """Why an artefact does not belong beside others of this origin, "" where it does."""
        other = Origin.of(path)
        if other.settings != self.settings:
            return "made with other settings"
        return "" if other.data == self.data else "made on other data"
