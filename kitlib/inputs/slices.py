"""Slices as embeddings of a backbone, one vector per slice, with the metadata of the study."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from joblib import delayed
from tqdm.auto import tqdm

from kitlib.artefacts import fingerprint
from kitlib.embed.store import TokenStore
from kitlib.embed.tokens import Tokens
from kitlib.errors import ArtefactError
from kitlib.inputs.bags import BagDataset
from kitlib.inputs.base import Encoder, InputSpec, Pretraining, Resources
from kitlib.machine import CLUSTER, in_processes
from kitlib.mri.ledger import Ledger
from kitlib.mri.study import Study
from kitlib.prepare.studies import PreparedStudies, study_metadata, without_sequences
from kitlib.prepare.volumes import VolumeCache
from kitlib.terms import SEQUENCES

if TYPE_CHECKING:
    from kitlib.embed.slices import Backbone

RECORDED_KINDS = ("shipped", "hub", "random")
"""Kinds of weights that suffice to find them again; for others, the file is recorded."""
SHARE = 16
"""Series that a cluster worker embeds in one call: a second or two."""


@dataclass(frozen=True, eq=False)
class SliceDataset(BagDataset):
    """Embeddings of slices; `metadata` may contain NaN, which models impute within their own fit."""

    metadata: pd.DataFrame  # index study_id, n rows in the order of study_ids

    def without(self, removed: np.ndarray) -> Self:
        """The studies as if the sequences `removed` (n, 3) had not been acquired."""
        left = super().without(removed)
        metadata = without_sequences(self.metadata, removed, left.present)
        return dataclasses.replace(left, metadata=metadata)._trusted_as(self)

    def renumbered(self, study_ids: np.ndarray) -> Self:
        """The same rows under other ids (n,)."""
        metadata = self.metadata.set_axis(pd.Index(study_ids, name=self.metadata.index.name))
        return dataclasses.replace(super().renumbered(study_ids), metadata=metadata)._trusted_as(self)

    def _with(self, rows: np.ndarray, tokens: Mapping[str, list[Tokens]]) -> Self:
        some = super()._with(rows, tokens)
        return dataclasses.replace(some, metadata=self.metadata.iloc[rows])._trusted_as(self)

    def _digest(self) -> str:
        return hashlib.sha256((super()._digest() + self.metadata.to_json()).encode()).hexdigest()


@dataclass(frozen=True)
class SliceInput(InputSpec):
    """How a slice is embedded. `sha256` and `width` are known once the weights have been loaded.

    >>> from kitlib.inputs.base import Resources
    >>> spec = SliceInput(longest_px=64, backbone="resnet10t", weights="shipped", grey="greyscale")
    >>> spec.encoder(Resources()).spec.width
    512
    """

    kind: ClassVar[str] = "slices"

    backbone: str = ""
    """See `load_backbone`."""
    weights: str = ""
    """See `find_weights`."""
    input_px: int = 0
    """Side of the square to which slices are resized; 0 for that of the weights' training."""
    field_of_view: str = ""
    """One of FIELDS_OF_VIEW; empty for that of the weights' training."""
    grey: str = ""
    """One of GREY_OPTIONS."""
    sha256: str = ""
    width: int = 0

    def completed(self, defaults: Mapping[str, Any]) -> Self:
        """As in InputSpec; the weights in `defaults` apply only to the backbone in `defaults`."""
        if self.backbone not in ("", defaults.get("backbone")):
            defaults = {name: value for name, value in defaults.items() if name != "weights"}
        return super().completed(defaults)

    def identity(self) -> dict[str, Any]:
        """All fields but the location of weights, which sha256 identifies; random ones keep their kind."""
        return {**dataclasses.asdict(self), "weights": "" if self.sha256 else self.weights}

    @property
    def folder_name(self) -> str:
        """A readable name with a unique suffix."""
        name = self.backbone.replace("/", "_")
        sizes = f"{self.input_px}px-{self.field_of_view}-{self.grey}"
        return f"{name}-{sizes}-{fingerprint(self.identity())[:8]}"

    @property
    def label(self) -> str:
        """A short description for a table."""
        return f"{self.backbone}, {self.grey}"

    def encoder(self, resources: Resources) -> "SliceEncoder":
        """An encoder with the weights found; raises WeightsError if there are none."""
        return SliceEncoder(self, resources)


class SliceEncoder(Encoder):
    """Embed slices with a backbone; those of many studies go through a store on disk.

    If the spec already identifies its weights, the backbone is loaded only when first needed.
    """

    def __init__(self, spec: SliceInput, resources: Resources) -> None:
        self.spec: SliceInput = spec
        self.resources = resources
        if not spec.width:
            source = self.backbone.source
            self.spec = dataclasses.replace(
                spec,
                weights=source.kind if source.kind in RECORDED_KINDS else str(source.file),
                input_px=self.backbone.input_px,
                field_of_view=self.backbone.field_of_view,
                sha256=source.sha256,
                width=self.backbone.width,
            )

    @cached_property
    def backbone(self) -> "Backbone":
        """The backbone with its weights; raises ArtefactError if these are not the recorded ones."""
        from kitlib.embed.backbone import load_backbone  # torch and timm take seconds to import

        spec = self.spec
        backbone = load_backbone(
            spec.backbone,
            weights=self._weights(),
            attached_dir=self.resources.attached_dir,
            input_px=spec.input_px or None,
            field_of_view=spec.field_of_view or None,
        )
        if spec.width and backbone.source.sha256 != spec.sha256:
            raise ArtefactError(
                f"the weights found, {backbone.source}, are not those of the embeddings",
                where=f"{spec.weights}, sha256 {spec.sha256[:12]}",
                hint="Attach those by attached_weights=..., or run 03_embeddings and what follows again.",
            )
        return backbone

    @property
    def label(self) -> str:
        """The backbone and its weights, in a few words for a table."""
        return f"{self.spec.backbone}: {self.backbone.source.label}"

    def encode(self, study: Study, ledger: Ledger) -> SliceDataset:  # noqa: ARG002  # nothing goes wrong here
        """Encode one study."""
        from kitlib.embed.engine import study_tokens

        backbone, grey = self.backbone, self.spec.grey
        tokens = {name: [study_tokens(backbone, study.stacks(name), grey=grey)] for name in SEQUENCES}
        return SliceDataset(np.array([study.study_id], np.int64), tokens, study_metadata([study]))

    def dataset(self, studies: PreparedStudies, cache: Path) -> SliceDataset:
        """Encode many studies, embedding what is not in the store; the result is memory-mapped."""
        store = TokenStore(Path(cache) / self.spec.folder_name, self.recipe, self.spec.width)
        if todo := store.outdated(studies.volumes, studies.keys):
            share = SHARE if os.environ.get(CLUSTER) else len(todo)
            parts = [todo[first : first + share] for first in range(0, len(todo), share)]
            alone = len(parts) == 1
            calls = (delayed(self.embed)(store, studies.volumes, part, progress=alone) for part in parts)
            for _ in tqdm(in_processes(calls, 1), "embeddings", len(parts), mininterval=1, disable=alone):
                pass
        study_ids = np.array(studies.study_ids, np.int64)
        return SliceDataset(study_ids, store.bags(study_ids, studies.series), studies.metadata)

    def embed(
        self, store: TokenStore, volumes: VolumeCache, keys: Sequence[tuple[int, int]], *, progress: bool
    ) -> None:
        """Embed series (study_id, series_id) into a store, in this process."""
        from kitlib.embed.engine import embed_series

        grey, batch = self.spec.grey, self.resources.batch
        embed_series(store, self.backbone, volumes, keys, grey=grey, batch=batch, progress=progress)

    def __reduce__(self) -> tuple[Any, ...]:
        # A backbone is not pickled: each worker loads its own, once.
        return worker_encoder, (self.spec, self.resources)

    def _weights(self) -> str:
        """Where to look for weights: as the spec says, else anywhere."""
        named, attached_dir = self.spec.weights, self.resources.attached_dir
        how = self.resources.without_weights
        if self.spec.width:  # already identified: where they were, or where they may be in this session
            return "auto" if attached_dir else named
        if named or how == "refuse":
            return named or "auto"
        from kitlib.embed.pretrain.train import cached_or_pretrained
        from kitlib.embed.weights.sources import look_for_weights

        if isinstance(how, Pretraining):
            cached_or_pretrained(self.spec.backbone, **dataclasses.asdict(how), attached_dir=attached_dir)
            return "auto"
        return "auto" if look_for_weights(self.spec.backbone, "auto", attached_dir) else "random"


@lru_cache(maxsize=1)
def worker_encoder(spec: SliceInput, resources: Resources) -> SliceEncoder:
    """The encoder of a worker process."""
    return SliceEncoder(spec, resources)
