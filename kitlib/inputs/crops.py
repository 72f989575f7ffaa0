"""Views around the localised places of a study, for the networks that grade them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from kitlib.artefacts import fingerprint
from kitlib.inputs.base import Dataset, InputSpec, Resources
from kitlib.mri.ledger import Fault
from kitlib.prepare.views import SLOTS, slot2sequence
from kitlib.terms import SEQUENCES

if TYPE_CHECKING:
    from kitlib.inputs.cropping import CropEncoder


UNSEEN = "landmarks.unseen"
"""The code of a fault whose rows are graded without a view of their own sequence, although it is present."""


@dataclass(frozen=True, eq=False)
class StudyCrops:
    """The views of one study by SLOTS; `images` may be memory-mapped."""

    images: np.ndarray  # (40, S, MARGIN_PX, MARGIN_PX) uint8, 0 where there is none
    present: np.ndarray  # (40, S) bool
    points_mm: np.ndarray  # (40, 3) patient position of the centre, NaN where there is no view
    confidences: np.ndarray  # (40,) in the point; 0 where it was not found and set where it usually lies
    faults: tuple[Fault, ...] = ()  # found when it was cut
    counted: float = 1.0  # probability that the levels are counted right, if that is in doubt
    view_outputs: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """Network outputs for these images, by weights file; passed on to other processes, too."""

    @property
    def shown(self) -> np.ndarray:
        """Mask (40,) of the SLOTS of which there is an image."""
        return self.present.any(axis=1)


@dataclass(frozen=True, eq=False)
class CropDataset(Dataset):
    """Crops of studies; some of their sequences may be hidden."""

    study_ids: np.ndarray  # (n,) int64
    crops: tuple[StudyCrops, ...]
    hidden: np.ndarray  # (n, 3) bool, of SEQUENCES

    @classmethod
    def of(cls, study_ids: Sequence[int], crops: Sequence[StudyCrops]) -> Self:
        """Build a dataset in which nothing is hidden."""
        ids = np.array(study_ids, np.int64)
        return cls(ids, tuple(crops), np.zeros((len(ids), len(SEQUENCES)), bool))

    @property
    def shown(self) -> np.ndarray:
        """Mask (n, 40) of the SLOTS of which each study has an image."""
        shown = np.array([crops.shown for crops in self.crops], bool).reshape(-1, len(SLOTS))
        return shown & ~self.hidden[:, slot2sequence]

    @property
    def counted(self) -> np.ndarray:
        """Probability (n,) that the levels are counted right, 1 where that is not in doubt."""
        return np.array([crops.counted for crops in self.crops], float)

    @property
    def present(self) -> np.ndarray:
        """Mask (n, 3) of the SEQUENCES of which each study has an image."""
        shown = self.shown
        return np.stack([shown[:, slot2sequence == column].any(1) for column in range(len(SEQUENCES))], 1)

    def take(self, index: Any) -> Self:
        """Select studies by position (integers, a slice or a mask), in that order."""
        rows = np.arange(len(self))[index]
        crops = tuple(self.crops[row] for row in rows)
        return replace(self, study_ids=self.study_ids[rows], crops=crops, hidden=self.hidden[rows])

    def without(self, removed: np.ndarray) -> Self:
        """The studies as if the sequences `removed` (n, 3) had not been acquired."""
        return replace(self, hidden=self.hidden | removed)

    def renumbered(self, study_ids: np.ndarray) -> Self:
        """The same rows under other ids (n,)."""
        return replace(self, study_ids=study_ids)

    def _digest(self) -> str:
        digest = hashlib.sha256(self.study_ids.tobytes() + self.hidden.tobytes() + self.counted.tobytes())
        for crops in self.crops:
            for part in (crops.images, crops.present):
                digest.update(part.tobytes())
        return digest.hexdigest()

    def _check(self) -> None:
        """Accept any crops: they hold only bytes, all of which are valid."""


@dataclass(frozen=True)
class CropInput(InputSpec):
    """How crops are cut: see `prepare.views` for their size, and VIEWS there for what they show."""

    kind: ClassVar[str] = "crops"

    slices: int = 3
    """Neighbouring slices by position around each place."""

    @property
    def folder_name(self) -> str:
        """A readable name with a unique suffix."""
        return f"crops-{self.slices}-{fingerprint(self.identity())[:8]}"

    @property
    def label(self) -> str:
        """A short description for a table."""
        return f"crops, {self.slices} slices"

    def encoder(self, resources: Resources) -> "CropEncoder":
        """An encoder with the shipped localiser."""
        from kitlib.inputs.cropping import CropEncoder  # imports torch

        return CropEncoder(self, resources.workers)
