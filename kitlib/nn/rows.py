"""Samples as arrays that are read row by row: what networks learn from."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np


@dataclass(frozen=True, eq=False)
class Rows:
    """A base for dataclasses whose fields are arrays of one length: row k of each is about sample k."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, index: np.ndarray) -> Self:
        """These rows (positions or a mask)."""
        return type(self)(*(array[index] for array in self.arrays().values()))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several sets as one."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, as the constructor takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
