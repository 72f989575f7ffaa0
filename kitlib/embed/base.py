"""What every backbone is: something that turns the stacks of a series into tokens."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from torch import Tensor

from kitlib.embed.field_of_view import stack_images
from kitlib.embed.runtime.inference import Inference, Prepare
from kitlib.embed.weights.sources import WeightsSource
from kitlib.mri.stack import Stack

Compiler = Callable[[Prepare, tuple[int, ...]], Inference]
"""A network with its weights, before it is known what prepares its inputs and of what shape they are."""


class Backbone(ABC):
    """Turns a stack into inputs, and each input into one or more tokens of length `width`.

    Inputs of any stacks may share a batch; the tokens of a stack are those of its inputs, end to end.
    """

    width: int

    def __init__(
        self, compiler: Compiler, name: str, source: WeightsSource, input_px: int, field_of_view: str
    ) -> None:
        self.name, self.source, self.input_px, self.field_of_view = name, source, input_px, field_of_view
        self.infer = compiler(self.prepare, self.input_shape)
        self.engine = self.infer.engine  # the name of what runs the network

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, whatever the stack: a slice unless said otherwise."""
        return (self.input_px, self.input_px)

    @staticmethod
    @abstractmethod
    def prepare(inputs: Tensor, /) -> Tensor:
        """Inputs (B, ...) uint8 as the network reads them."""

    def inputs(self, stack: Stack, grey: str = "greyscale") -> np.ndarray:
        """What this backbone reads of a prepared stack: (n, *input_shape) uint8; its slices, here."""
        return stack_images(stack, self.input_px, field_of_view=self.field_of_view, grey=grey)

    def positions_mm(self, stack: Stack) -> np.ndarray:
        """Patient position of each token of a stack: (n * tokens of an input, 3); slices' centres, here."""
        return stack.centres_mm

    @abstractmethod
    def embed(self, inputs: np.ndarray) -> np.ndarray:
        """Tokens (B * tokens of an input, width) float32 of inputs (B, ...) uint8; none of none."""
