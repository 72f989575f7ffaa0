"""Effects of k-space encoding: chemical shift, truncation, noise, and motion ghosts.

Images are (K, H, W): axis 1 runs from row to row, axis 2 from column to column.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

MARGIN_PX = 8  # padding at both ends of the readout, so that shifted fat does not wrap around


@dataclass(frozen=True)
class Encoding:
    """The k-space sampling of a series."""

    phase_axis: int  # 1 or 2; the readout runs along the other
    readout_share: float  # share of stored pixels acquired along the readout; the rest is zero filling
    phase_share: float
    taper: float  # share of k-space in the filter's roll-off
    fat_shift_px: float  # along the readout, in acquired pixels

    def acquired(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the k-space samples along both axes for an image of this many stored rows and columns."""
        shares = [self.readout_share] * 2
        shares[self.phase_axis - 1] = self.phase_share
        rows, cols = (min(size, 2 * int(size * share / 2) + 1) for size, share in zip(shape, shares))
        return rows, cols

    def magnitude(self, images: Tensor, noise: float, rng: np.random.Generator) -> Tensor:
        """Reconstruct magnitude images (K, H, W) from the signal of water and fat (2, K, H, W).

        Noise is complex and Gaussian where k-space is sampled, so in pixels it is Rician and correlated; its
        standard deviation in each channel of the image is `noise`.
        """
        along_rows = self.phase_axis == 1
        margins = (MARGIN_PX, MARGIN_PX, 0, 0) if along_rows else (0, 0, MARGIN_PX, MARGIN_PX)
        images = pad(images, margins, mode="replicate")
        shape = images.shape[2], images.shape[3]
        counts = self.acquired(shape)
        # Signed indices of the lowest frequencies.
        rows, cols = (torch.arange(-(n // 2), n - n // 2, device=images.device) for n in counts)
        water, fat = torch.fft.fft2(images, norm="forward")[:, :, rows[:, None], cols]
        spectrum = water.addcmul_(fat, self._fat_ramp(counts, rows, cols))
        window = _window(counts[0], self.taper)[:, None] * _window(counts[1], self.taper)
        level = noise / np.sqrt((window**2).sum())
        lots = torch.from_numpy(rng.standard_normal((*spectrum.shape, 2), dtype=np.float32))
        spectrum += level * torch.view_as_complex(lots).to(images.device)
        spectrum *= torch.as_tensor(window, dtype=torch.float32, device=images.device)
        filled = spectrum.new_zeros(images.shape[1:])
        filled[:, rows[:, None], cols] = spectrum
        stored = torch.fft.ifft2(filled, norm="forward")
        return stored.narrow(3 - self.phase_axis, MARGIN_PX, shape[2 - self.phase_axis] - 2 * MARGIN_PX).abs()

    def _fat_ramp(self, counts: tuple[int, int], rows: Tensor, cols: Tensor) -> Tensor:
        """The phase ramp, at the samples of k-space, that shifts fat along the readout."""
        readout = 2 - self.phase_axis
        sample = (rows[:, None], cols[None])[readout]
        turns = -2 * torch.pi * self.fat_shift_px / counts[readout] * sample
        return torch.polar(torch.ones_like(turns), turns)


def draw_encoding(px_mm: float, sagittal: bool, fat_shift_px: float, rng: np.random.Generator) -> Encoding:
    """Draw a typical encoding: .65-.95 mm along the readout of sagittal series, .5-.75 mm of axial ones, and
    60-90 % of that resolution along the phase axis, with at least some zero filling there."""
    readout_mm = rng.uniform(0.65, 0.95) if sagittal else rng.uniform(0.5, 0.75)
    phase_mm = readout_mm / rng.uniform(0.6, 0.9)
    head_to_foot = rng.random() < 0.6  # keeps abdominal ghosts off the spine; else from front to back
    return Encoding(
        phase_axis=1 if sagittal == head_to_foot else 2,
        readout_share=min(1.0, px_mm / readout_mm),
        phase_share=min(rng.uniform(0.75, 0.93), px_mm / phase_mm),
        taper=rng.uniform(0.25, 0.9),
        fat_shift_px=fat_shift_px * rng.choice([-1, 1]),
    )


def ghosts(moving: Tensor, phase_axis: int, spacing_px: float, strength: Tensor) -> Tensor:
    """Faint copies (K, H, W) of moving signal on both sides along the phase; `strength` (K,) is signed."""
    copies = torch.zeros_like(moving)
    for order in (1, 2):
        way = round(order * spacing_px)
        pair = moving.roll(way, phase_axis) + moving.roll(-way, phase_axis)
        copies += pair * (strength / order**2)[:, None, None]
    return copies


def _window(count: int, taper: float) -> np.ndarray:
    """A Tukey window: flat, with cosine tapers at both ends of k-space."""
    from_end = (np.minimum(np.arange(count), np.arange(count)[::-1]) + 1) / (taper * count / 2 + 1)
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(from_end, 1))
