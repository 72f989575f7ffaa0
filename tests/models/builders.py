"""Datasets with a planted, anatomical signal: a cell's severity shifts the slices that show it."""

import atexit
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kitlib.artefacts import Provenance
from kitlib.embed.tokens import Tokens
from kitlib.inputs.crops import CropDataset, StudyCrops
from kitlib.inputs.pixels import PixelDataset
from kitlib.inputs.slices import SliceDataset
from kitlib.prepare.views import MARGIN_PX, SLOTS, VIEWS
from kitlib.terms import AXIAL_T2, CELLS, EMPTY, LEVELS, SAGITTAL_T1, SAGITTAL_T2

WIDTH = 16  # a square: an embedding can also be read as a slice of 4 x 4 pixels
SEVERITY_SHARES = (0.65, 0.2, 0.15)


def make_labels(studies: int = 24, *, seed: int = 0, empty_share: float = 0.05) -> np.ndarray:
    """Severity codes (n, 25), some EMPTY; a study's cells correlate through the spine's general state."""
    random = np.random.default_rng(seed)
    state = random.normal(size=(studies, 1)) + random.normal(size=(studies, len(CELLS)))
    thresholds = np.quantile(state, np.cumsum(SEVERITY_SHARES)[:-1]) if studies else np.zeros(2)
    labels = np.searchsorted(thresholds, state).astype(np.int8)
    labels[random.random(labels.shape) < empty_share] = EMPTY
    return labels


def make_features(
    labels: np.ndarray, *, seed: int = 0, strength: float = 3.0, missing: dict[str, list[int]] | None = None
) -> SliceDataset:
    """Nine slices per sagittal, fifteen per axial series; `missing` lists the studies without a sequence."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(len(CELLS), WIDTH))
    tokens: dict[str, list[Tokens]] = {SAGITTAL_T1: [], SAGITTAL_T2: [], AXIAL_T2: []}
    for study, severities in enumerate(labels):
        shift_mm = random.normal(0, 100, size=3)
        for sequence, series in tokens.items():
            absent = study in (missing or {}).get(sequence, [])
            positions_mm = np.zeros((0, 3)) if absent else _positions_mm(sequence)
            vectors = random.normal(size=(len(positions_mm), WIDTH))
            for cell, direction, severity in zip(CELLS, directions, severities.clip(0)):
                seen = _visibility(sequence, cell.group, cell.level, cell.side, positions_mm)
                vectors += strength * severity * seen[:, None] * direction / WIDTH**0.5
            series.append(Tokens(vectors.astype(np.float32), positions_mm + shift_mm))
    return SliceDataset(np.arange(len(labels)) * 7 + 1000, tokens, make_metadata(len(labels), random))


def make_metadata(studies: int, random: np.random.Generator) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "t1_slices": random.integers(9, 20, studies).astype(float),
            "axial_step_mm": random.normal(4.5, 0.5, studies),
            "sequences": random.choice(["t1+t2", "t1+t2+axial"], studies).astype(object),
        },
        index=pd.Index(np.arange(studies) * 7 + 1000, name="study_id"),
    )
    return table.mask(random.random(table.shape) < 0.1)


def _positions_mm(sequence: str) -> np.ndarray:
    places = np.zeros((15, 3)) if sequence == AXIAL_T2 else np.zeros((9, 3))
    if sequence == AXIAL_T2:
        places[:, 2] = np.linspace(-80, 80, len(places))
    else:
        places[:, 0] = np.linspace(-20, 20, len(places))
    return places


def _visibility(
    sequence: str, group: str, level: str, side: str | None, positions_mm: np.ndarray
) -> np.ndarray:
    """How much of a cell each slice shows, 0 to 1."""
    if sequence == AXIAL_T2:
        centre = (2 - LEVELS.index(level)) * 32.0
        return np.exp(-(((positions_mm[:, 2] - centre) / 12) ** 2)) * (group != "foraminal")
    centre = {None: 0.0, "left": 15.0, "right": -15.0}[side]
    return np.exp(-(((positions_mm[:, 0] - centre) / 6) ** 2)) * (group != "subarticular")


def as_pixels(data: SliceDataset) -> PixelDataset:
    """The same studies, with embeddings as slices of 4 x 4 grey values."""
    tokens = {
        name: [
            Tokens((bag.vectors * 25 + 100).clip(0, 255).astype(np.uint8), bag.positions_mm) for bag in bags
        ]
        for name, bags in data.tokens.items()
    }
    return PixelDataset(data.study_ids, tokens, 4)


def as_crops(data: SliceDataset) -> CropDataset:
    """The same studies as crops of one slice: a square, brighter the worse its cell."""
    directions = np.random.default_rng(99).normal(size=(len(CELLS), WIDTH))
    crops = []
    for row in range(len(data)):
        images = np.zeros((len(SLOTS), 1, MARGIN_PX, MARGIN_PX), np.uint8)
        present = np.zeros((len(SLOTS), 1), bool)
        for number, slot in enumerate(SLOTS):
            cell, sequence = CELLS[slot.cell], VIEWS[slot.view].sequence
            bag = data.tokens[sequence][row]
            if len(bag):
                around_mm = bag.positions_mm - bag.positions_mm.mean(axis=0)
                seen = _visibility(sequence, cell.group, cell.level, cell.side, around_mm)
                signal = seen @ bag.vectors @ np.resize(directions[slot.cell], bag.width) / seen.sum()
                images[number, 0, 20:-20, 20:-20] = np.clip(60 + 12 * signal, 0, 255)
                present[number] = True
        points_mm = np.where(present, np.zeros(3), np.nan)
        crops.append(StudyCrops(images, present, points_mm, present[:, 0].astype(float)))
    return CropDataset.of(data.study_ids, crops)


@cache
def untrained_grader() -> str:
    """A file of a small untrained network, from which a quick crop model starts."""
    from kitlib.grade.network import StudyNet, save_network

    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    torch.manual_seed(0)
    save_network(Path(folder.name) / "grader.safetensors", StudyNet("test_resnet"), Provenance())
    return str(Path(folder.name) / "grader.safetensors")
