"""What lies in the spinal canal: fat, veins, flavum and bulging discs, and the sac with roots and cord."""

import numpy as np
import torch
from torch import Tensor

from kitlib.phantom.body.section import RECESS_MM, Measures, sac, walls
from kitlib.phantom.body.stenosis import PAD_MM
from kitlib.phantom.body.tissues import Tissue

# Typical sizes; what is narrow goes from Schizas' grade A to D (Spine 2010): roots crowd, CSF goes, then fat.
RIM_MM = 1.8  # of dark outer annulus
FLAVUM_MM, FLAVUM_GROWS_MM = 3.4, 3.5  # normal thickness, and what the worst degeneration adds
PAD_HALF_WIDTH_MM = 5.5  # of the fat behind the sac, at its base
VEIN_MM = 3.6  # from the midline to the veins behind a body


def paint_walls(tissue: Tensor, a: Tensor, b: Tensor, rows: Measures) -> None:
    """Epidural fat, with the disc bulging into it from the front and the flavum thickening from behind."""
    front, back = walls(a, rows)
    aside = a.abs()
    within = aside < rows["half_width"]
    at_disc = rows["near"] > 0.05
    bare = 0.012 * a * a - rows["half_depth"]
    tissue[within & (b > torch.where(at_disc, bare, bare - 1.7)) & (b < back)] = Tissue.FAT
    _paint_flavum(tissue, aside, b, back, within, rows)
    bulge = within & at_disc & (b <= front) & (b > bare - 1)
    tissue[bulge] = Tissue.LIGAMENT
    tissue[bulge & (b < front - RIM_MM)] = Tissue.ANNULUS
    ligament = within & ((b - front).abs() < 0.45) & (at_disc | (aside < 1.2))
    tissue[ligament] = Tissue.FASCIA
    vein = (aside - VEIN_MM) ** 2 + (b - front + 0.9) ** 2 < 1.6 * rows["at_body"]
    tissue[vein] = Tissue.VEIN


def _paint_flavum(
    tissue: Tensor, aside: Tensor, b: Tensor, back: Tensor, within: Tensor, rows: Measures
) -> None:
    """A V of dark ligament before laminae and facets, and the wedge of fat in its midline."""
    thickness = FLAVUM_MM + FLAVUM_GROWS_MM * rows["behind"]
    beside = (aside / RECESS_MM).clamp(max=1)
    lateral = torch.maximum(rows["recess_back_left"], rows["recess_back_right"]) + 6
    laminae = torch.lerp(rows["apex"] + 2, lateral, beside)
    soft = (tissue != Tissue.CORTEX) & (tissue != Tissue.MARROW)
    behind = within & (b >= back) & (rows["fat_pad"] > 0.3)
    tissue[behind & ((b < back + thickness) | (soft & (b < laminae)))] = Tissue.LIGAMENT
    thick = behind & (b < torch.minimum(back + thickness, laminae)) & (thickness > FLAVUM_MM + 0.8)
    tissue[thick & (b > back + 1.2)] = Tissue.ANNULUS
    strands = torch.sin(2.3 * (b - back) + 0.9 * aside) > 0.75
    tissue[thick & (b > back + 1.6) & strands] = Tissue.FAT
    from_apex = ((rows["apex"] - b) / PAD_MM).clamp(0, 1.2)
    wraps = 1 + 0.75 * (1 - 4 * rows["lost"]).clamp(min=0)  # round the sac, as far as no flavum comes between
    half_width = PAD_HALF_WIDTH_MM * (1 - 1.4 * rows["lost"]).clamp(min=0) * rows["fat_pad"]
    tissue[(b > rows["apex"] - wraps * PAD_MM) & (aside < half_width * from_apex)] = Tissue.FAT


def paint_sac(tissue: Tensor, a: Tensor, b: Tensor, row: Tensor, rows: Measures, roots: np.ndarray) -> None:
    """Dura, CSF, roots and cord."""
    front, back = sac(a, rows)
    there = rows["sac_depth"] > 0.5
    beside = a.abs() < rows["sac_half_width"] + 0.4
    tissue[there & beside & (b > front - 0.45) & (b < back + 0.45)] = Tissue.FASCIA
    inside = (there & (b > front) & (b < back)).nonzero().squeeze(1)
    a, b, row = a[inside], b[inside], row[inside]
    rows = {name: values[inside] for name, values in rows.items()}
    content = torch.full_like(tissue[inside], int(Tissue.CSF))
    _paint_roots(content, a, b, row, rows, roots)
    middle = rows["sac_front"] + 0.52 * rows["sac_depth"]
    cord = (a / (4.6 * rows["cord"] + 0.01)) ** 2 + ((b - middle) / (3.7 * rows["cord"] + 0.01)) ** 2
    content[(cord < 1) & (rows["cord"] > 0.05)] = Tissue.CORD
    tissue[inside] = content


def _paint_roots(
    content: Tensor, a: Tensor, b: Tensor, row: Tensor, rows: Measures, roots: np.ndarray
) -> None:
    """Roots, which come forward before they leave, and are crowded and in loops where the sac is tight."""
    half_depth = rows["sac_depth"] / 2
    middle = rows["sac_front"] + half_depth
    crowd = (1.6 * rows["lost"]).clamp(max=1)
    swollen = 1 + 0.5 * crowd + (4 * rows["lost"] - 1.8).clamp(0, 1)  # no CSF is left where it is severe
    for lateral, dorsal, crowded, leaves, radius_mm, phase in roots:
        leaving = (1 - (row - leaves) / 60).clamp(0, 1) ** 2
        wave = 0.3 * rows["loops"] * torch.sin(row / 3.2 + phase)
        spread = (lateral * (1 + crowd)).clamp(-0.85, 0.85)
        at_a = torch.lerp(spread + wave, torch.full_like(wave, np.sign(lateral) * 0.88), leaving)
        at_b = torch.lerp(dorsal + (crowded - dorsal) * crowd + wave, torch.full_like(wave, -0.3), leaving)
        at_b = at_b * (1 - 0.35 * at_a**2)
        away = (a - at_a * rows["sac_half_width"]) ** 2 + (b - middle - at_b * half_depth) ** 2
        content[(row > leaves) & (away < (radius_mm * swollen) ** 2)] = Tissue.ROOT
