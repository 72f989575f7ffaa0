"""Slices as a backbone sees them: one vector a slice, and what headers tell of the study."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd

from kitlib.artefacts import fingerprint
from kitlib.embed.tokens import Tokens
from kitlib.errors import ArtefactError
from kitlib.inputs.bags import BagDataset
from kitlib.inputs.base import Encoder, InputSpec, Resources, register_input
from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Study
from kitlib.prepare.studies import PreparedStudies
from kitlib.prepare.tabular import study_metadata, without_sequences
from kitlib.terms import SEQUENCES

if TYPE_CHECKING:
    from kitlib.embed.base import Backbone

RECORDED_KINDS = ("shipped", "hub", "random")
"""Weights that are found by their kind alone; of others, the file is recorded."""


@dataclass(frozen=True, eq=False)
class SliceDataset(BagDataset):
    """Embeddings of slices; `metadata` may hold NaN, which models impute inside their own fit."""

    metadata: pd.DataFrame  # index study_id, n rows in the order of study_ids

    def without(self, removed: np.ndarray) -> Self:
        """The studies as if the sequences `removed` (n, 3) had not been acquired."""
        left = super().without(removed)
        metadata = without_sequences(self.metadata, removed, left.present)
        return dataclasses.replace(left, metadata=metadata)._trusted_as(self)

    def renumbered(self, study_ids: np.ndarray) -> Self:
        """The same rows under other ids (n,)."""
        metadata = self.metadata.set_axis(pd.Index(study_ids, name=self.metadata.index.name))
        return dataclasses.replace(self, study_ids=study_ids, metadata=metadata)._trusted_as(self)

    def _with(self, rows: np.ndarray, tokens: Mapping[str, list[Tokens]]) -> Self:
        metadata = self.metadata.iloc[rows]
        return dataclasses.replace(self, study_ids=self.study_ids[rows], tokens=tokens, metadata=metadata)

    def _digest(self) -> str:
        return hashlib.sha256((super()._digest() + self.metadata.to_json()).encode()).hexdigest()


@register_input
@dataclass(frozen=True)
class SliceInput(InputSpec):
    """How a slice becomes a vector. `sha256` and `width` are known once the weights have been loaded."""

    kind: ClassVar[str] = "slices"

    backbone: str = ""
    """See `load_backbone`."""
    weights: str = ""
    """See `find_weights`."""
    input_px: int = 0
    """Slices are made squares of this side; 0 takes that of the weights' training."""
    field_of_view: str = ""
    """One of FIELDS_OF_VIEW; empty takes that of the weights' training."""
    grey: str = ""
    """One of GREY_OPTIONS."""
    sha256: str = ""
    width: int = 0

    def identity(self) -> dict[str, Any]:
        """All but where the weights lie: their sha256 says what they are, of random ones their kind."""
        return {**dataclasses.asdict(self), "weights": "" if self.sha256 else self.weights}

    @property
    def folder_name(self) -> str:
        """Readable in front, unique at the end."""
        name = self.backbone.replace("/", "_")
        sizes = f"{self.input_px}px-{self.field_of_view}-{self.grey}"
        return f"{name}-{sizes}-{fingerprint(self.identity())[:8]}"

    def encoder(self, resources: Resources) -> "SliceEncoder":
        """With the weights that are found; ArtefactError where those recorded are others."""
        from kitlib.embed.backbone import load_backbone  # torch and timm: seconds

        weights = resources.weights or self.weights or "auto"
        backbone = load_backbone(
            self.backbone,
            weights=weights,
            attached_dir=resources.attached_dir,
            input_px=self.input_px or None,
            field_of_view=self.field_of_view or None,
        )
        source = backbone.source
        if self.width and source.sha256 != self.sha256:
            raise ArtefactError(
                f"the weights found, {source}, are not those of the embeddings",
                where=f"{self.weights}, sha256 {self.sha256[:12]}",
                hint="Name that file by weights=..., or embed again: run 03_embeddings and what follows.",
            )
        return SliceEncoder(
            dataclasses.replace(
                self,
                weights=source.kind if source.kind in RECORDED_KINDS else str(source.file),
                input_px=backbone.input_px,
                field_of_view=backbone.field_of_view,
                sha256=source.sha256,
                width=backbone.width,
            ),
            backbone,
            resources.batch,
        )


class SliceEncoder(Encoder):
    """Embeds slices with a backbone; many studies through a store on disk."""

    spec: SliceInput

    def __init__(self, spec: SliceInput, backbone: "Backbone", batch: int) -> None:
        self.spec, self.backbone, self.batch = spec, backbone, batch

    def encode(self, study: Study, ledger: Ledger) -> SliceDataset:  # noqa: ARG002  # nothing goes wrong here
        """A dataset of one study."""
        from kitlib.embed.engine import study_tokens

        tokens = {
            name: [study_tokens(self.backbone, study.stacks(name), grey=self.spec.grey)] for name in SEQUENCES
        }
        return SliceDataset(np.array([study.study_id], np.int64), tokens, study_metadata([study]))

    def dataset(self, studies: PreparedStudies, cache: Path) -> SliceDataset:
        """The embeddings of many studies, memory-mapped; what is not in the store is embedded."""
        from kitlib.embed.engine import embed_series
        from kitlib.embed.store import TokenStore

        store = TokenStore(Path(cache) / self.spec.folder_name, self.spec.identity(), self.spec.width)
        embed_series(
            store, self.backbone, studies.volumes, studies.keys, grey=self.spec.grey, batch=self.batch
        )
        study_ids = np.array(studies.study_ids, np.int64)
        return SliceDataset(study_ids, store.bags(study_ids, studies.series), studies.metadata)
