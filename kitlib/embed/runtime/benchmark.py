"""Slices a second, read or embedded, against the loops that one would write first."""

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pandas as pd
import pydicom
import torch

from kitlib.competition.root import Competition
from kitlib.embed.backbone import DEFAULT_PX, build_network, known_backbone, load_backbone
from kitlib.embed.engine import embed_series
from kitlib.embed.names import IMAGENET_MEAN, IMAGENET_STD, reads_volumes
from kitlib.embed.runtime.quantise import quantise
from kitlib.embed.slices import Backbone
from kitlib.embed.store import TokenStore
from kitlib.embed.weights.sources import file_name
from kitlib.errors import ExtraMissingError, UsageError, WeightsError
from kitlib.machine import cores, torch_threads
from kitlib.mri.ledger import Ledger
from kitlib.mri.series import read_series
from kitlib.phantom.archive import write_competition
from kitlib.prepare.volumes import VolumeCache

Result = TypeVar("Result")
SEED = 2024
LONGEST_PX = 320
BATCH = 32


def benchmark(backbones: Sequence[str], *, studies: int, repeats: int, size: str = "demo") -> pd.DataFrame:
    """A row a backbone and engine: slices a second of the loop and of the kit, medians, and their ratio.

    All read the same phantoms' files, use all cores, and have random weights of the same network, which is
    run as it is and in eight bits. The loop, as it is, is timed anew beside each repeat. UsageError, before
    anything is drawn, where there is nothing to time or a backbone is no network of slices.
    """
    for name in backbones:
        if reads_volumes(known_backbone(name)):
            raise UsageError(f"{name} is no network of slices", hint="Name one of timm or torchvision.")
    rows = []
    with drawn_series(studies, repeats, size) as (folder, series):
        for name in backbones:
            network, loaded = build_network(name)[0], variants(name, folder, size)
            warm_up(network, loaded)
            for repeat in range(repeats):
                slices, loop_s = timed(obvious_loop, network, series)
                for number, backbone in enumerate(loaded):
                    work = folder / f"{repeat}-{number}-{name.replace('/', '_')}"
                    beside = {"backbone": name, "engine": backbone.engine, "slices": slices, "loop_s": loop_s}
                    rows.append(beside | kit_run(backbone, series, work))
    return summary(pd.DataFrame(rows))


def reading_benchmark(*, studies: int, repeats: int, size: str = "clinical") -> pd.DataFrame:
    """One row: slices a second of the plain pydicom loop and of `read_series`, and their ratio.

    Both read the same phantoms' files from the system's cache, in turns; the fastest of the repeats counts.
    UsageError where there is nothing to time.
    """
    with drawn_series(studies, repeats, size) as (_, series):
        folders = [Path(path) for path in series["folder"]]
        runs = [(*timed(plain_reading, folders), timed(kit_reading, folders)[1]) for _ in range(repeats)]
    slices, loop_s, kit_s = np.min(runs, axis=0)
    rates = {"loop_per_s": slices / loop_s, "kit_per_s": slices / kit_s, "ratio": loop_s / kit_s}
    return pd.DataFrame([{"slices": int(slices), **rates}])


@contextmanager
def drawn_series(studies: int, repeats: int, size: str) -> Iterator[tuple[Path, pd.DataFrame]]:
    """A temporary folder and the series of phantoms in it; UsageError where there is nothing to time."""
    if min(studies, repeats) < 1:
        raise UsageError(
            f"{studies} studies x {repeats} repeats are nothing to time", hint="Ask for one or more."
        )
    with tempfile.TemporaryDirectory(prefix="kitlib-bench-") as folder:
        root = Path(folder) / "phantoms"
        write_competition(root, studies=studies, seed=SEED, size=size, workers=cores())
        yield Path(folder), Competition(root).series("train")


def plain_reading(folders: Sequence[Path]) -> int:
    """Read series with pydicom, one file after the other; returns how many slices they have."""
    count = 0
    for folder in folders:
        files = sorted(folder.glob("*.dcm"))
        count += len([pydicom.dcmread(file).pixel_array.astype(np.float32) for file in files])
    return count


def kit_reading(folders: Sequence[Path]) -> int:
    """Read series with the kit; returns how many slices they have."""
    return sum(len(stack) for folder in folders for stack in read_series(folder, Ledger()))


def variants(name: str, folder: Path, size: str) -> list[Backbone]:
    """The backbone as it is and, where that can be had, in eight bits; a warning where it cannot."""
    loaded = [load_backbone(name, weights="random", input_px=DEFAULT_PX)]
    try:
        file = folder / file_name(name)
        quantise(file, name, weights="random", input_px=DEFAULT_PX, size=size)
        loaded.append(load_backbone(name, weights=str(file)))
    except (ExtraMissingError, WeightsError) as error:
        warnings.warn(f"not measured in eight bits: {error}", RuntimeWarning, stacklevel=2)
    return loaded


def kit_run(backbone: Backbone, series: pd.DataFrame, work: Path) -> dict[str, float]:
    """Seconds of the kit from files to stored vectors, and what of them are spent embedding."""
    cache = VolumeCache(work / "volumes", longest_px=LONGEST_PX)
    store = TokenStore(work / "store", {}, backbone.width)
    keys = list(series[["study_id", "series_id"]].itertuples(index=False, name=None))
    _, prepare_s = timed(cache.build, series, workers=cores())
    _, embed_s = timed(embed_series, store, backbone, cache, keys, batch=BATCH)
    return {"kit_s": prepare_s + embed_s, "embed_s": embed_s}


def obvious_loop(network: torch.nn.Module, series: pd.DataFrame) -> int:
    """Read, scale, resize and embed one file after the other in full precision; returns how many."""
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    vectors = []
    with torch.inference_mode(), torch_threads(cores()):
        for path in (path for folder in series["folder"] for path in sorted(Path(folder).glob("*.dcm"))):
            pixels = pydicom.dcmread(path).pixel_array.astype(np.float32)
            grey = (pixels - pixels.min()) / max(float(np.ptp(pixels)), 1.0)
            image = torch.from_numpy(cv2.resize(grey, (DEFAULT_PX, DEFAULT_PX), interpolation=cv2.INTER_AREA))
            vectors.append(network(((image.expand(3, -1, -1) - mean) / std)[None])[0].numpy())
    return len(vectors)


def warm_up(network: torch.nn.Module, backbones: Sequence[Backbone]) -> None:
    """Let all choose their kernels before the clock runs."""
    network.eval()
    with torch.inference_mode(), torch_threads(cores()):
        network(torch.zeros(1, 3, DEFAULT_PX, DEFAULT_PX))
    for backbone in backbones:
        backbone.embed(np.zeros((BATCH, DEFAULT_PX, DEFAULT_PX), np.uint8))


def timed(call: Callable[..., Result], *how: Any, **options: Any) -> tuple[Result, float]:
    """What a call returns, and the seconds it takes."""
    started_s = time.perf_counter()
    return call(*how, **options), time.perf_counter() - started_s


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Medians over repeats as slices a second; the ratio with its smallest and largest value."""
    rates = runs[["backbone", "engine", "slices"]].assign(
        loop_per_s=runs["slices"] / runs["loop_s"],
        kit_per_s=runs["slices"] / runs["kit_s"],
        embedding_alone_per_s=runs["slices"] / runs["embed_s"],
        ratio=runs["loop_s"] / runs["kit_s"],
    )
    grouped = rates.groupby(["backbone", "engine"], sort=False)
    spread = {"ratio_min": grouped["ratio"].min(), "ratio_max": grouped["ratio"].max()}
    return grouped.median().assign(**spread).reset_index()
