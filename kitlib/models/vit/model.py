"""`vit`: a vision transformer trained end to end on the pixels of slices.

The published one was trained on the images of each condition's sequence, and its split was not reported. Here
it is a model like any other, evaluated on folds of whole studies.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from kitlib.embed.names import SPINE_VIT, SPINE_VIT_SHAPE
from kitlib.errors import ModelError
from kitlib.inputs.base import Dataset
from kitlib.inputs.pixels import PixelDataset
from kitlib.models.neural.model import NetworkModel
from kitlib.terms import CELLS, SEQUENCES, Cell, group2sequence

if TYPE_CHECKING:
    import torch
    from torch import nn

    from kitlib.embed.weights.sources import WeightsSource
    from kitlib.models.neural.batches import StudyTensors
    from kitlib.nn.projection import TokenScale
    from kitlib.nn.rows import Batches


@dataclass
class ViTModel(NetworkModel):
    """Patches of the slices of each cell's own sequence, with attention from the 25 cells to the patches.

    A slice has `grid` x `grid` patches, whatever its size in pixels, which bounds the cost. `start` names the
    SPINE_VIT weights that the transformer starts from, as for `find_weights`. A fit raises WeightsError if
    there are none, or if they do not match.
    """

    name: ClassVar[str] = "vit"
    reads: ClassVar[type[Dataset]] = PixelDataset

    members: int = 1
    inner_parts: int = 5
    components: int = 0
    width: int = SPINE_VIT_SHAPE["width"]
    epochs: int = 10
    patience: int = 4
    batch: int = 4
    learning_rate: float = 3e-4
    dropout: float = 0.1
    slice_dropout: float = 0.0
    view_dropout: float = 0.0
    grid: int = SPINE_VIT_SHAPE["grid"]
    depth: int = SPINE_VIT_SHAPE["depth"]
    heads: int = SPINE_VIT_SHAPE["heads"]
    slices: int = 5  # of each sequence and study in a training step
    augment: bool = True
    start: str = "random"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._begin: Path | None = None  # a loaded model needs no file of starting weights

    def pretrained_source(self) -> "WeightsSource | None":
        """See Model. Raises WeightsError if there are no such weights."""
        from kitlib.embed.weights.sources import find_weights

        source = find_weights(SPINE_VIT, self.start)
        return source if source.file else None

    def _fit(self, data: PixelDataset, labels: np.ndarray, seed: int) -> None:
        begin = self.pretrained_source()
        self.note(f"the transformer starts from {begin.label}" if begin else "")
        self._begin = begin.file if begin else None
        super()._fit(data, labels, seed)

    def fit_reduction(self, data: PixelDataset, seed: int) -> "TokenScale":  # noqa: ARG002  # nothing is learned
        """Grey values from 0 to 1."""
        from kitlib.nn.projection import TokenScale

        return TokenScale.grey_values(len(SEQUENCES), data.px**2)

    def batches(self, tensors: "StudyTensors", labels: np.ndarray, rows: np.ndarray) -> "Batches":
        """Batches with a few slices of each sequence, augmented if the model is set to."""
        from kitlib.models.vit.batches import PixelBatches

        studies = super().batches(tensors, labels, rows)
        return PixelBatches(studies, slices=self.slices, augment=self.augment)

    def _network(self, inputs: int, log_prior: "torch.Tensor") -> "nn.Module":
        from kitlib.embed.weights.sources import load_strictly
        from kitlib.models.vit.network import SliceTransformer, ViTNetwork

        px = math.isqrt(inputs)
        grid = min(self.grid, px)
        if px * px != inputs or px % grid:
            raise ModelError(
                f"vectors of {inputs} values are not square slices of {grid} x {grid} patches",
                where=self.name,
                hint="Choose a grid that divides the side of the slices.",
            )
        transformer = SliceTransformer(
            px=px, grid=grid, width=self.width, depth=self.depth, heads=self.heads, dropout=self.dropout
        )
        if self._begin is not None:
            load_strictly(transformer.trunk, self._begin, ())
        return ViTNetwork(transformer, dropout=self.dropout, log_prior=log_prior)

    def attention_map(self, data: PixelDataset, cell: Cell) -> tuple[int, np.ndarray]:
        """Return the slice of one study that a cell attends to most, and its attention over that slice.

        The index counts the tokens of the cell's sequence; the map (grid, grid) has the attention of each
        patch, row by row from the image's top left. Raises ModelError if the study lacks the sequence.
        """
        import torch

        from kitlib.models.neural.batches import StudyTensors

        sequence = SEQUENCES.index(group2sequence[cell.group])
        batch = StudyTensors(data, self.fitted.reduction).batch([0])[sequence]
        if not batch.present.any():
            raise ModelError(f"the study has no {SEQUENCES[sequence]}", where=self.name, hint="Try another.")
        with torch.inference_mode():
            of_members = [network.attend(batch, sequence)[1] for network in self.fitted.networks]  # type: ignore[operator]
        weights = torch.stack(of_members).mean(0)[0, CELLS.index(cell)]  # (T, patches)
        index = int(weights.sum(-1).argmax())
        side = math.isqrt(weights.shape[-1])
        return index, weights[index].reshape(side, side).cpu().numpy()
