"""Randomised contrast far outside the clinical range, to train networks that do not depend on it.

Random grey values per tissue are SynthSeg's idea (Billot, Med Image Anal 2023); ranges are chosen by eye.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from kitlib.phantom.body.tissues import FIELDS_T, Tissue, water_and_fat
from kitlib.phantom.scan.signal import PulseSequence, in_flow, noise_field

LOOKS = {"clinical": 0.5, "stir": 0.1, "blended": 0.15, "random": 0.25}
"""Probability of each kind of contrast; a trial on real images found these to be robust."""

# Minimum and maximum repetition, echo and inversion time of T1, T2 and PD weighting, and of STIR.
WEIGHTINGS_MS = (
    ((350, 950), (6, 20), (0, 0)),
    ((2200, 6500), (70, 140), (0, 0)),
    ((2000, 4500), (15, 50), (0, 0)),
)
WEIGHTING_RATES = (0.46, 0.46, 0.08)
STIR_MS = ((2500, 6500), (25, 80), (135, 235))

REACH_MM, FLOOR = (40.0, 250.0), (0.0, 0.8)  # of a surface coil: from a black abdomen to even illumination
INVERTED_RATE = 0.08
GHOST_RATE = 0.15
BAND_RATE = 0.25
HIDDEN_RATE = 0.1
VOID_RATE = 0.06
DARKEST, BRIGHTEST = (0.0, 0.03), (0.95, 0.998)  # quantiles that become black and white


@dataclass(frozen=True, eq=False)
class Look:
    """The grey value of every tissue, and how far the rest of the image may deviate from clinical ones."""

    kind: str
    greys: np.ndarray  # (tissues and nuclei,), the brightest about 1
    wild: float  # 0 (a good scanner) to 1 (far outside the clinical range)


def draw_look(water: np.ndarray, rng: np.random.Generator) -> Look:
    """Draw a contrast for a spine whose discs have the given water content in 0..1."""
    kind = str(rng.choice(list(LOOKS), p=list(LOOKS.values())))
    if kind == "random":
        return Look(kind, _random_greys(water, rng), rng.random())
    greys = _scanned(kind == "stir", water, rng)
    if kind == "blended":
        share = rng.uniform(0.2, 0.6)
        return Look(kind, (1 - share) * greys + share * _random_greys(water, rng), rng.random())
    return Look(kind, greys, rng.random() ** 2)


def textured(tissue: Tensor, look: Look, px_mm: float, rng: np.random.Generator) -> Tensor:
    """Mean grey value (H, W) of tissues (samples, H, W), each with its own strength of grain and clouds."""
    count, strength = len(look.greys), 0.03 + 0.11 * look.wild
    tables = np.stack([look.greys, *rng.gamma(1.5, strength / 1.5, (3, count)) * (0.1 + look.greys)])
    tables[1:, Tissue.AIR] = 0
    on_device = torch.as_tensor(tables, dtype=torch.float32, device=tissue.device)
    image, *amplitudes = (row[tissue.int()].mean(dim=0) for row in on_device)
    for amplitude, cell_mm in zip(amplitudes, (rng.uniform(1, 3), rng.uniform(3, 8), rng.uniform(8, 40))):
        image += amplitude * clouds(image, cell_mm / px_mm, rng)
    return image.clamp_(min=0)


def clouds(like: Tensor, cell_px: float, rng: np.random.Generator) -> Tensor:
    """Smooth noise (H, W) of unit variance at its nodes, `cell_px` apart."""
    return noise_field(like[None], (max(cell_px, 1.0),) * 2, rng)[0]


def received(
    image: Tensor, depth_mm: Tensor, height_mm: Tensor, look: Look, px_mm: float, rng: np.random.Generator
) -> Tensor:
    """Apply coil, saturation, motion, blur and noise to an image (H, W); depth is measured from the back."""
    wild = look.wild
    reach_mm, floor = np.exp(rng.uniform(*np.log(REACH_MM))), rng.uniform(*FLOOR)
    image = image * (torch.exp(-depth_mm.clamp(min=0) / float(reach_mm)) + floor)
    image = image / (1 + ((height_mm - rng.normal(0, 40 * wild)) / rng.uniform(140, 240)).abs() ** 6)
    image = image * torch.exp(wild * rng.uniform(0, 0.6) * clouds(image, rng.uniform(50, 150) / px_mm, rng))
    if rng.random() < BAND_RATE:
        image = image * _saturation(depth_mm, height_mm, wild, rng)
    if rng.random() < GHOST_RATE:
        image = _ghosted(image, rng)
    for axis in (0, 1):
        image = blurred(image, rng.gamma(2, 0.2 + 0.4 * wild) / px_mm, axis)
    rows, cols = image.shape
    level = float(image[rows // 4 : -rows // 4, cols // 4 : -cols // 4].mean())
    return _noisy(image, level * rng.gamma(2, 0.015 + 0.06 * wild), rng)


def displayed(image: Tensor, look: Look, rng: np.random.Generator) -> Tensor:
    """Scale grey values to [0, 1] between quantiles, with a random gamma; sometimes inverted."""
    every = image.flatten().sort().values
    low, high = (float(every[int(rng.uniform(*q) * len(every))]) for q in (DARKEST, BRIGHTEST))
    image = ((image - low) / max(high - low, 1e-6)).clamp_(0, 1)
    image = image ** float(np.exp((0.2 + 0.4 * look.wild) * rng.standard_normal()).clip(0.4, 2.2))
    return 1 - image if rng.random() < INVERTED_RATE else image


def occluded(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Sometimes hide parts behind rectangles, and add metal voids with a bright rim."""
    rows, cols = (torch.arange(size, device=image.device, dtype=torch.float32) for size in image.shape)
    if rng.random() < HIDDEN_RATE:
        for _ in range(rng.integers(1, 4)):
            image = image.masked_fill(_rectangle(rows, cols, rng), rng.random())
    if rng.random() < VOID_RATE:
        for _ in range(rng.integers(1, 5)):
            at_row, at_col = rng.random(2) * image.shape
            half_rows, half_cols = rng.uniform(0.01, 0.06, 2) * image.shape
            outline = ((rows - at_row) / half_rows)[:, None] ** 2 + ((cols - at_col) / half_cols) ** 2
            image = image.masked_fill(outline < 1.3, 1.0).masked_fill(outline < 1, 0.0)
    return image


def blurred(image: Tensor, sigma_px: float, axis: int) -> Tensor:
    """Gaussian blur of an image (H, W) along one axis."""
    reach = min(int(3 * sigma_px) + 1, image.shape[axis] - 1)
    if sigma_px < 0.2:
        return image
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    weights = torch.as_tensor(kernel / kernel.sum(), dtype=torch.float32, device=image.device)
    lines = pad((image if axis else image.T)[:, None], (reach, reach), mode="replicate")
    out = conv1d(lines, weights[None, None])[:, 0]
    return out if axis else out.T


def _scanned(stir: bool, water: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw grey values of a T1, T2 or PD weighted spin echo or a STIR, with tissues that vary by person."""
    ranges = STIR_MS if stir else WEIGHTINGS_MS[rng.choice(len(WEIGHTINGS_MS), p=WEIGHTING_RATES)]
    repetition, echo, inversion = (rng.uniform(*one) for one in ranges)
    spins = water_and_fat(water, float(rng.choice(FIELDS_T)), marrow_fat=rng.uniform(0.2, 0.7))
    spins = spins * rng.normal(1, 0.08, spins.shape).clip(0.7, 1.3)
    signal = in_flow(PulseSequence(repetition, echo, inversion).signal(spins), rng.random(), rng.random())
    greys = np.abs(signal.sum(axis=0))
    return greys / greys.max()


def _random_greys(water: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw evenly spaced grey values, one per tissue; nuclei share one, plus a slope with their water."""
    greys = rng.permutation((np.arange(Tissue.NUCLEUS + 1) + rng.random()) / (Tissue.NUCLEUS + 1))
    if rng.random() < 0.8:
        greys[Tissue.AIR] = rng.random() * 0.05
    nuclei = greys[-1] + rng.normal(0, 0.3) * (water - 0.5) + rng.normal(0, 0.05, len(water))
    return np.r_[greys[:-1], nuclei.clip(0, 1)]


def _saturation(depth_mm: Tensor, height_mm: Tensor, wild: float, rng: np.random.Generator) -> Tensor:
    """Draw a saturation band, mostly anterior to the spine."""
    lean = rng.normal(0, 0.2 + 0.4 * wild)
    middle, half = rng.normal(150, 15 + 45 * wild), rng.uniform(15, 35)
    beyond = ((depth_mm + lean * height_mm - middle).abs() - half) / rng.uniform(1, 6)
    left = rng.uniform(0.1, 0.6)
    return left + (1 - left) * torch.sigmoid(beyond)


def _ghosted(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Add a faint copy of the image, shifted along one axis."""
    axis = int(rng.integers(2))
    shift = int(rng.integers(image.shape[axis] // 8, image.shape[axis] // 2))
    return image + rng.uniform(0.03, 0.2) * image.roll(shift, axis)


def _noisy(image: Tensor, sigma: float, rng: np.random.Generator) -> Tensor:
    """Return the magnitude of the image with complex Gaussian noise, which is Rician."""
    lots = rng.standard_normal((2, *image.shape), dtype=np.float32)
    real, imaginary = torch.from_numpy(lots).to(image.device)
    return torch.hypot(image + sigma * real, sigma * imaginary)


def _rectangle(rows: Tensor, cols: Tensor, rng: np.random.Generator) -> Tensor:
    """Draw a mask (H, W) of a rectangle of up to a quarter of each side."""
    inside = []
    for line in (rows, cols):
        start, size = rng.random() * len(line), rng.uniform(0.04, 0.25) * len(line)
        inside.append((line >= start) & (line < start + size))
    return inside[0][:, None] & inside[1]
