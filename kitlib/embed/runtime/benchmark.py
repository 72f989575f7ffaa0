"""Benchmark slices per second, read or embedded, against straightforward loops."""

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
ONE_BY_ONE = "one slice at a time"
COLUMNS = ("what", "against", "slices", "loop_s", "kit_s")


def reading_runs(series: pd.DataFrame, repeats: int) -> pd.DataFrame:
    """Time reading: COLUMNS in one row per repeat and loop, from the system's file cache, alternating."""
    folders = [Path(path) for path in series["folder"]]
    loops = {"a plain pydicom loop": pydicom_reading, "SimpleITK's series reader": simpleitk_reading}
    rows = []
    for _ in range(repeats):
        slices, kit_s = timed(kit_reading, folders)
        for against, loop in loops.items():
            rows.append(("reading", against, slices, timed(loop, folders)[1], kit_s))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def embedding_runs(
    backbones: Sequence[str], series: pd.DataFrame, repeats: int, folder: Path
) -> pd.DataFrame:
    """Time embedding, from files to vectors stored below `folder`: COLUMNS per repeat, backbone and engine.

    All use all cores and have random weights of the same network, which is run as it is and in eight bits.
    The plain loop runs the network as it is, and is timed again in each repeat.
    """
    rows = []
    for name in backbones:
        network, loaded = build_network(name)[0], variants(name, folder)
        warm_up(network, loaded)
        for repeat in range(repeats):
            slices, loop_s = timed(obvious_loop, network, series)
            for number, backbone in enumerate(loaded):
                work = folder / f"{repeat}-{number}-{name.replace('/', '_')}"
                what = f"embedding, {name} by {backbone.engine}"
                rows.append((what, ONE_BY_ONE, slices, loop_s, kit_embedding_s(backbone, series, work)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ratio_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Medians over repeats in slices per second; the ratio with its minimum and maximum."""
    rates = runs[["what", "against"]].assign(
        loop_per_s=runs["slices"] / runs["loop_s"],
        kit_per_s=runs["slices"] / runs["kit_s"],
        ratio=runs["loop_s"] / runs["kit_s"],
    )
    grouped = rates.groupby(["what", "against"], sort=False)
    spread = {"ratio_min": grouped["ratio"].min(), "ratio_max": grouped["ratio"].max()}
    return grouped.median().assign(**spread).reset_index()


def check_benchmark(backbones: Sequence[str], *counts: int) -> None:
    """Raise UsageError if a count is below one, or a backbone does not read slices."""
    if min(counts) < 1:
        raise UsageError(f"{min(counts)} times is nothing to time", hint="Ask for one or more.")
    for name in backbones:
        if reads_volumes(known_backbone(name)):
            raise UsageError(f"{name} is no network of slices", hint="Name one of timm or torchvision.")


@contextmanager
def drawn_series(studies: int, size: str) -> Iterator[tuple[Path, pd.DataFrame]]:
    """Draw phantoms in a temporary folder; yield the folder and their series."""
    with tempfile.TemporaryDirectory(prefix="kitlib-bench-") as folder:
        root = Path(folder) / "phantoms"
        write_competition(root, studies=studies, seed=SEED, size=size, workers=cores())
        yield Path(folder), Competition(root).series("train")


def pydicom_reading(folders: Sequence[Path]) -> int:
    """Read series with pydicom, one file after the other; returns the number of slices."""
    count = 0
    for folder in folders:
        files = sorted(folder.glob("*.dcm"))
        count += len([pydicom.dcmread(file).pixel_array.astype(np.float32) for file in files])
    return count


def simpleitk_reading(folders: Sequence[Path]) -> int:
    """Read series with SimpleITK; returns the number of slices in those that it can read."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # of uneven slice spacing
    count = 0
    for folder in folders:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        with suppress(RuntimeError):  # slices of two sizes
            count += len(sitk.GetArrayFromImage(reader.Execute()).astype(np.float32))
    return count


def kit_reading(folders: Sequence[Path]) -> int:
    """Read series with the kit; returns the number of slices."""
    return sum(len(stack) for folder in folders for stack in read_series(folder, Ledger()))


def variants(name: str, folder: Path) -> list[Backbone]:
    """Load the backbone as it is and in eight bits; warns if the latter is not possible."""
    loaded = [load_backbone(name, weights="random", input_px=DEFAULT_PX)]
    try:
        file = folder / file_name(name)
        quantise(file, name, weights="random", input_px=DEFAULT_PX, size="smoke")
        loaded.append(load_backbone(name, weights=str(file)))
    except (ExtraMissingError, WeightsError) as error:
        warnings.warn(f"not measured in eight bits: {error}", RuntimeWarning, stacklevel=2)
    return loaded


def kit_embedding_s(backbone: Backbone, series: pd.DataFrame, work: Path) -> float:
    """Time the kit, in seconds, from files to stored vectors."""
    cache = VolumeCache(work / "volumes", longest_px=LONGEST_PX)
    store = TokenStore(work / "store", {}, backbone.width)
    keys = list(series[["study_id", "series_id"]].itertuples(index=False, name=None))
    _, prepare_s = timed(cache.build, series, workers=cores())
    return prepare_s + timed(embed_series, store, backbone, cache, keys, batch=BATCH)[1]


def obvious_loop(network: torch.nn.Module, series: pd.DataFrame) -> int:
    """Read, scale, resize and embed one file after the other in full precision; returns their number."""
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
    """Run each network once before timing, so that kernels are chosen."""
    network.eval()
    with torch.inference_mode(), torch_threads(cores()):
        network(torch.zeros(1, 3, DEFAULT_PX, DEFAULT_PX))
    for backbone in backbones:
        backbone.embed(np.zeros((BATCH, DEFAULT_PX, DEFAULT_PX), np.uint8))


def timed(call: Callable[..., Result], *how: Any, **options: Any) -> tuple[Result, float]:
    """Return the result of a call, and the seconds it takes."""
    started_s = time.perf_counter()
    return call(*how, **options), time.perf_counter() - started_s
