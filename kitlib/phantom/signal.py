"""From tissues to what a scanner stores: spin physics, texture, coil, blur and noise."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from kitlib.phantom.tissues import Tissue
from kitlib.terms import SAGITTAL_T1, SAGITTAL_T2

STIR_RATE = 0.08  # of the sagittal T2 series


@dataclass(frozen=True)
class Sequence:
    """Timing of a spin echo in ms; an inversion time makes it a STIR."""

    repetition_ms: float
    echo_ms: float
    inversion_ms: float = 0.0

    def signal(self, spins: np.ndarray) -> np.ndarray:
        """Signal (tissues,) of proton density, T1 and T2 (tissues, 3)."""
        density, t1, t2 = spins.T
        relaxed = 1 - np.exp(-self.repetition_ms / t1)
        if self.inversion_ms:
            relaxed = np.abs(
                relaxed - 2 * np.exp(-self.inversion_ms / t1) + 2 * np.exp(-self.repetition_ms / t1)
            )
        return density * relaxed * np.exp(-self.echo_ms / t2)


def draw_sequence(name: str, rng: np.random.Generator) -> Sequence:
    """Clinical timing of one of the competition's three sequences."""
    if name == SAGITTAL_T1:
        return Sequence(rng.uniform(450, 750), rng.uniform(8, 14))
    if name == SAGITTAL_T2 and rng.random() < STIR_RATE:
        return Sequence(rng.uniform(3500, 5000), rng.uniform(45, 70), rng.uniform(150, 170))
    return Sequence(rng.uniform(2800, 5000), rng.uniform(85, 115))


@dataclass(frozen=True)
class Receiver:
    """What the tissues' signal goes through in one series."""

    coil_reach_mm: float  # of the surface coil behind the patient
    coil_floor: float  # how much the scanner has evened out its fall-off
    blur: float  # what a pixel gives to each of its neighbours
    noise: float
    gain: float
    fatty: float  # infiltration of the muscles

    def stored(self, image: Tensor, depth_mm: Tensor, height_mm: Tensor, rng: np.random.Generator) -> Tensor:
        """Whole grey values of a signal, given depth below the back's skin and height above L3."""
        fall_off = torch.exp(-depth_mm.clamp(min=-20) / self.coil_reach_mm) + self.coil_floor
        received = _blurred(image * fall_off / (1 + (height_mm / 165) ** 6), self.blur)
        return (_with_noise(received, self.noise, rng) * self.gain).round_().clamp_(0, 32767)


def draw_receiver(rng: np.random.Generator) -> Receiver:
    """A coil and a scanner, and how fat has infiltrated the muscles it will see."""
    return Receiver(
        coil_reach_mm=rng.uniform(70, 150),
        coil_floor=rng.uniform(0.1, 0.4),
        blur=rng.uniform(0.05, 0.13),
        noise=rng.uniform(0.006, 0.016),
        gain=rng.uniform(900, 3300),
        fatty=rng.uniform(0.1, 0.45),
    )


def tissue_image(
    tissue: Tensor,
    signal: np.ndarray,
    fatty: float,
    fibre_mm: tuple[float, float],
    px_mm: float,
    rng: np.random.Generator,
) -> Tensor:
    """Mean signal (K, H, W) of the tissues (K, samples, H, W) through each slice, with their textures."""
    table = torch.as_tensor(np.stack([signal, *_textures(signal, fatty)], axis=0), dtype=torch.float32)
    index = tissue.int()
    image, streaks, grain, blotches = (
        torch.index_select(row, 0, index.view(-1)).view(index.shape).mean(dim=1) for row in table
    )
    shape = tuple(image.shape)
    strands = noise_field(shape, (fibre_mm[0] / px_mm, fibre_mm[1] / px_mm), rng).sub_(0.3).clamp_(min=0)
    image += (
        streaks * strands * noise_field(shape, (14.0 / px_mm, 14.0 / px_mm), rng).add_(0.6).clamp_(min=0.1)
    )
    image += grain * noise_field(shape, (4.0 / px_mm, 4.0 / px_mm), rng)
    image += blotches * noise_field(shape, (11.0 / px_mm, 11.0 / px_mm), rng)
    image += 0.5 * grain * noise_field(shape, (1.6 / px_mm, 1.6 / px_mm), rng)
    return image.clamp_(min=0)


def noise_field(shape: tuple[int, ...], cell_px: tuple[float, float], rng: np.random.Generator) -> Tensor:
    """Smooth noise (K, H, W) of unit variance at its nodes, which are `cell_px` rows and columns apart."""
    nodes = [max(2, round(size / cell)) for size, cell in zip(shape[1:], cell_px)]
    coarse = torch.from_numpy(rng.standard_normal((1, shape[0], *nodes), dtype=np.float32))
    return interpolate(coarse, size=shape[1:], mode="bilinear", align_corners=True)[0]


def _blurred(image: Tensor, share: float) -> Tensor:
    """In-plane blur: each pixel gives `share` of itself to each of its neighbours along rows and columns."""
    for axis in (1, 2):
        size = image.shape[axis]
        edge = torch.cat([image.narrow(axis, 0, 1), image, image.narrow(axis, size - 1, 1)], dim=axis)
        image = (1 - 2 * share) * image + share * (edge.narrow(axis, 0, size) + edge.narrow(axis, 2, size))
    return image


def _with_noise(image: Tensor, sigma: float, rng: np.random.Generator) -> Tensor:
    """Magnitude of the image with complex Gaussian noise: Rician."""
    real, imaginary = torch.from_numpy(rng.standard_normal((2, *image.shape), dtype=np.float32))
    return torch.hypot(image + sigma * real, sigma * imaginary)


def _textures(signal: np.ndarray, fatty: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far streaks and grain move the signal of each tissue."""
    streaks, grain = np.zeros_like(signal), 0.05 * signal
    fat = signal[Tissue.FAT]
    streaks[Tissue.MUSCLE] = fatty * (fat - signal[Tissue.MUSCLE])
    streaks[Tissue.FASCIA] = 0.4 * (fat - signal[Tissue.FASCIA])
    streaks[Tissue.MESENTERY] = -0.22 * signal[Tissue.MESENTERY]
    streaks[Tissue.FAT] = -0.08 * fat
    grain[Tissue.MARROW] = 0.11 * signal[Tissue.MARROW]
    grain[[Tissue.ORGAN, Tissue.BOWEL, Tissue.MESENTERY]] = (
        0.15 * signal[[Tissue.ORGAN, Tissue.BOWEL, Tissue.MESENTERY]]
    )
    grain[Tissue.CSF] = 0.03 * signal[Tissue.CSF]
    blotches = np.zeros_like(signal)
    blotches[[Tissue.MESENTERY, Tissue.BOWEL]] = 0.28 * signal[[Tissue.MESENTERY, Tissue.BOWEL]]
    return streaks, grain, blotches
