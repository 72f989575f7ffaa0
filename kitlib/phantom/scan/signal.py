"""From tissues to signal: the spin physics of three sequences, and the texture of tissues."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from kitlib.phantom.body.tissues import Tissue
from kitlib.terms import SAGITTAL_T1, SAGITTAL_T2

STIR_RATE = 0.08  # of the sagittal T2 series
FADE_MM = 3.0  # over which marrow changes fade, by eye
FLIPPED_BACK = 0.55  # share of the magnetisation left by the echo train
FLIP_BACK_RATE = 0.5  # of the other T2 series; by eye, from the brightness of CSF relative to fat
FAT_HZ_PER_T = 3.5e-6 * 42.577e6  # fat precesses 3.5 ppm slower than water


@dataclass(frozen=True)
class PulseSequence:
    """Timing of a spin echo or an echo train in ms; an inversion time makes it a STIR."""

    repetition_ms: float
    echo_ms: float
    inversion_ms: float = 0.0
    echo_train: int = 1
    bandwidth: float = 150.0  # of the readout, Hz per acquired pixel
    flip_back_ms: float = 0.0  # time of the flip-back pulse after the echo train (driven equilibrium)

    def signal(self, spins: np.ndarray) -> np.ndarray:
        """Compute the signal (...) for proton density, T1 and T2 (..., 3); that of water stays positive."""
        density, t1, t2 = np.moveaxis(spins, -1, 0)
        relaxed = 1 - np.exp(-self.repetition_ms / t1)
        if self.inversion_ms:
            relaxed = 2 * np.exp(-self.inversion_ms / t1) - 1 - np.exp(-self.repetition_ms / t1)
        if self.flip_back_ms:
            relaxed /= 1 - np.exp(-self.repetition_ms / t1 - self.flip_back_ms / t2) * FLIPPED_BACK
        return density * relaxed * np.exp(-self.echo_ms / t2)

    def fat_shift_px(self, field_t: float) -> float:
        """Chemical shift between fat and water along the readout, in acquired pixels."""
        return FAT_HZ_PER_T * field_t / self.bandwidth


def draw_pulse_sequence(name: str, rng: np.random.Generator, field_t: float = 1.5) -> PulseSequence:
    """Draw a typical clinical timing of one of the competition's three sequences."""
    high = field_t > 2
    bandwidth = FAT_HZ_PER_T * field_t / rng.uniform(1.0, 2.5)
    if name == SAGITTAL_T1:
        repetition = rng.uniform(600, 1000) if high else rng.uniform(500, 850)
        return PulseSequence(repetition, rng.uniform(8, 14), 0.0, int(rng.choice([1, 2, 3, 4])), bandwidth)
    if name == SAGITTAL_T2 and rng.random() < STIR_RATE:
        inversion = rng.uniform(197, 207) if high else rng.uniform(150, 158)
        repetition, echo = rng.uniform(3500, 5000), rng.uniform(32, 52)
        return PulseSequence(repetition, echo, inversion, int(rng.integers(8, 17)), bandwidth)
    flip_back = rng.uniform(180, 260) if rng.random() < FLIP_BACK_RATE else 0.0
    repetition, echo = rng.uniform(3200, 5200), rng.uniform(86, 115)
    return PulseSequence(repetition, echo, 0.0, int(rng.integers(12, 27)), bandwidth, flip_back)


def in_flow(signal: np.ndarray, artery: float, vein: float) -> np.ndarray:
    """Scale the signal (2, tissues) of blood by the shares that flow leaves."""
    signal = signal.copy()
    signal[0, [Tissue.ARTERY, Tissue.VEIN]] *= artery, vein
    return signal


def tissue_images(
    tissue: Tensor, signal: np.ndarray, fibre_mm: tuple[float, float], px_mm: float, rng: np.random.Generator
) -> Tensor:
    """Mean signal (2, K, H, W) of water and fat in the tissues (K, samples, H, W), with their textures.

    `fibre_mm` is the length of muscle fibres along rows and columns.
    """
    index = tissue.int()
    water, fat = (looked_up(row, index).mean(dim=1) for row in signal)
    middle = index[:, index.shape[1] // 2]
    frayed(water, fat, middle, px_mm, rng)
    strand, grain, blotch = (looked_up(row, middle) for row in _textures(signal))

    def field(rows_mm: float, cols_mm: float) -> Tensor:
        return noise_field(middle, (rows_mm / px_mm, cols_mm / px_mm), rng)

    strands = field(*fibre_mm).sub_(0.3).clamp_(min=0)
    fat += strand * strands * field(14, 14).add_(0.6).clamp_(min=0.1)
    uneven = 1 + grain * (0.8 * field(4, 4) + 0.8 * field(1.6, 1.6)) + blotch * field(11, 11)
    return torch.stack([water, fat]) * uneven.clamp_(min=0.2)


def frayed(water: Tensor, fat: Tensor, middle: Tensor, px_mm: float, rng: np.random.Generator) -> None:
    """Blend marrow changes (K, H, W) irregularly into the surrounding marrow, in place."""
    changed = (middle >= Tissue.OEDEMA) & (middle <= Tissue.SCLEROSIS)
    if not changed.any():
        return
    size = 2 * round(FADE_MM / px_mm / 2) + 1
    box = tuple(_extent(changed, axis, margin) for axis, margin in enumerate((0, 2 * size, 2 * size)))
    marrow = (middle[box] == Tissue.MARROW) | changed[box]
    lots = noise_field(marrow, (FADE_MM / px_mm,) * 2, rng)
    weight = marrow * (1.2 * lots).exp_()
    parts = torch.stack([water[box] * weight, fat[box] * weight, weight])
    for _ in range(2):
        parts = avg_pool2d(parts, (size, 1), 1, (size // 2, 0))
        parts = avg_pool2d(parts, (1, size), 1, (0, size // 2))
    for images, part in zip((water, fat), parts):
        images[box] = torch.where(marrow, part / parts[2].clamp(min=1e-6), images[box])


def csf_flow(
    tissue: Tensor, eddy_mm: tuple[float, float], px_mm: float, strength: Tensor, rng: np.random.Generator
) -> Tensor:
    """Share of the CSF signal that flow leaves (K, H, W): dark wisps of a strength in 0..1 (K, H, W)."""
    cells = eddy_mm[0] / px_mm, eddy_mm[1] / px_mm
    wisps = noise_field(tissue, cells, rng).sub_(0.7).clamp_(0, 1.2)
    return 1 - (tissue == Tissue.CSF) * (0.8 * strength * wisps).clamp_(max=0.85)


def looked_up(values: np.ndarray, index: Tensor) -> Tensor:
    """Look up the value of each tissue, in the shape of the index (int)."""
    table = torch.as_tensor(values, dtype=torch.float32).to(index.device)
    return table.index_select(0, index.reshape(-1)).view(index.shape)


def noise_field(like: Tensor, cell_px: tuple[float, float], rng: np.random.Generator) -> Tensor:
    """Smooth noise (K, H, W) with unit variance at its nodes, which are `cell_px` rows and columns apart."""
    count, *size = like.shape
    nodes = [max(2, round(whole / cell)) for whole, cell in zip(size, cell_px)]
    coarse = torch.from_numpy(rng.standard_normal((1, count, *nodes), dtype=np.float32)).to(like.device)
    return interpolate(coarse, size=size, mode="bilinear", align_corners=True)[0]


def _extent(mask: Tensor, axis: int, margin: int) -> slice:
    """The extent of the mask along an axis, widened by a margin on both sides."""
    places = mask.movedim(axis, 0).flatten(1).any(dim=1).nonzero()
    return slice(max(0, int(places[0]) - margin), int(places[-1]) + 1 + margin)


def _textures(signal: np.ndarray) -> np.ndarray:
    """Textures of each tissue (3, tissues): fat strands, and the relative strength of grain and blotches."""
    strands, grain, blotches = textures = np.zeros((3, signal.shape[1]))
    fat = signal[1]
    strands[Tissue.MUSCLE] = 0.06 * fat[Tissue.FAT]
    strands[Tissue.FASCIA] = 0.3 * fat[Tissue.FAT]
    strands[Tissue.MESENTERY] = -0.25 * fat[Tissue.MESENTERY]
    strands[Tissue.FAT] = -0.10 * fat[Tissue.FAT]
    grain[:] = 0.05
    grain[[Tissue.MARROW, Tissue.FATTY_MARROW]] = 0.13
    grain[[Tissue.ORGAN, Tissue.BOWEL, Tissue.MESENTERY]] = 0.15
    grain[Tissue.CSF] = 0.02
    blotches[[Tissue.MESENTERY, Tissue.BOWEL]] = 0.28
    blotches[Tissue.MARROW] = 0.05
    return textures
