"""The backbone without a network: a slice's own pixels, for models that learn from them end to end."""

import numpy as np

from kitlib.embed.base import Backbone
from kitlib.embed.names import pixels_px
from kitlib.embed.view import square
from kitlib.embed.weights.sources import WeightsSource


class PixelBackbone(Backbone):
    """`pixels_<px>`: a token is the slice at px x px, row by row, from 0 (black) to 1 (white)."""

    def __init__(self, name: str, source: WeightsSource, view: str) -> None:
        px = pixels_px(name)
        assert px is not None
        super().__init__(name, source, px, view)
        self.width = px * px

    def embed(self, inputs: np.ndarray) -> np.ndarray:
        """Vectors (B, px * px) float32 of slices (B, H, W) uint8; other sizes are made square."""
        return square(inputs, self.input_px).reshape(len(inputs), self.width).astype(np.float32) / 255
