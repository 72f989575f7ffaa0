"""Where a backbone's weights come from: a path, attached weights, the hub, the kit's cache, or the kit.

Only safetensors are opened: .pth, .pt and .bin files are pickles, which run code when they are opened.
"""

import os
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import huggingface_hub
import timm
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from kitlib.artefacts import facts_of, is_complete, parameters_of, sha256, verified
from kitlib.embed.names import WEIGHTS
from kitlib.errors import WeightsError
from kitlib.machine import on_kaggle
from kitlib.nn.weights import refuse_not_finite, with_prefix

SourceKind = Literal["path", "attached", "hub", "cached", "shipped", "imagenet", "ct", "random"]
SHIPPED_DIR = Path(__file__).parent
CONVERT = "Turn it into safetensors: python -m kitlib weights convert {file.name} {file.stem}.safetensors"
"""Hints stand in tables, which are for all: without the folders of this machine."""
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl")
PROBE_S = 3.0


@dataclass(frozen=True)
class WeightsSource:
    """Where the weights come from; random ones have no file."""

    kind: SourceKind
    name: str
    file: Path | None
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}{', ' + self.sha256[:12] if self.sha256 else ''})"

    @property
    def facts(self) -> dict[str, Any]:
        """What the kit noted beside the weights, such as `input_px`; empty for weights from elsewhere."""
        return facts_of(self.file) if self.file and is_complete(self.file) else {}

    @property
    def label(self) -> str:
        """What the weights are, in a few words for a table."""
        if self.file is None:
            return self.kind
        if "agreement" in self.facts:
            return f"{parameters_of(self.file)['of']}, in eight bits"
        if seen := self.facts.get("seen"):
            return str(seen)
        learning = training_of(self.file)
        if "phantoms" in learning:  # the grader's
            return f"phantoms, {learning['views']} views"
        if "studies" not in learning:
            return self.kind if self.kind == "hub" else f"{self.kind}: {self.file.name}"
        own = f"phantoms, {learning['studies']} studies x {self.facts['epoch']} epochs"
        return f"{own}, after {learning['start']}" if "start" in learning else own


def find_weights(backbone: str, weights: str = "auto", attached_dir: Path | None = None) -> WeightsSource:
    """Find weights: "auto" looks in `attached_dir`, the hub, the cache and the kit, in this order.

    "hub", "cached", "shipped", "imagenet" and "ct" (packages that may be installed) and "random" ask for that
    and nothing else; any other value is the path of a file. WeightsError where there are none, or only such
    as are not safe to open.
    """
    if found := look_for_weights(backbone, weights, attached_dir):
        return found
    raise WeightsError(
        f"no weights for {backbone!r}",
        where=f"weights={weights}, attached folder: {attached_dir or 'none'}, "
        f"hub: {'online' if online() else 'offline'}, cache: {cache_dir()}, "
        f"shipped: {', '.join(shipped_backbones())}",
        hint=f"Make some: python -m kitlib weights train --backbone {backbone} --studies 300 --epochs 4. "
        f"Or attach a folder with {file_name(backbone)}, give its path, or ask for 'random' by that name.",
    )


def look_for_weights(
    backbone: str, weights: str = "auto", attached_dir: Path | None = None
) -> WeightsSource | None:
    """What `find_weights` finds, or None; WeightsError where there are only such as are not safe to open."""
    if weights == "random":
        return WeightsSource("random", backbone, None, "")
    if weights in ("imagenet", "ct"):
        return _verified(weights, backbone, _packaged(weights, backbone))  # type: ignore[arg-type]
    if weights not in WEIGHTS:
        return _verified("path", backbone, Path(weights))
    if weights == "auto" and attached_dir is not None and (attached := _attached(backbone, attached_dir)):
        return _verified("attached", backbone, attached)
    if weights in ("auto", "hub") and (downloaded := _from_hub(backbone)):
        return _verified("hub", backbone, downloaded)
    if weights in ("auto", "cached") and (cached := cache_dir() / file_name(backbone)).is_file():
        if not is_complete(cached):  # half a training, or a user's own file, to be kept
            raise WeightsError(
                "the cache holds a file without the kit's sidecar",
                where=cached,
                hint="Delete it if a training was cut short; to use it, give its path or attach its folder.",
            )
        return _verified("cached", backbone, cached)
    if weights in ("auto", "shipped") and (shipped := SHIPPED_DIR / file_name(backbone)).is_file():
        return _verified("shipped", backbone, shipped)
    return None


def cache_dir() -> Path:
    """Where the kit keeps weights that it has trained here; on Kaggle for this session only."""
    if on_kaggle():
        return Path(tempfile.gettempdir()) / "kitlib" / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kitlib" / "weights"


def file_name(backbone: str) -> str:
    """A backbone's file: that of `torchvision/resnet50` is torchvision_resnet50.safetensors."""
    return backbone.replace("/", "_") + ".safetensors"


def training_of(file: Path | None) -> dict[str, Any]:
    """The parameters of the kit's training, perhaps unfinished, that made a file; empty where none did."""
    return parameters_of(file) if file and is_complete(file) and "epoch" in facts_of(file) else {}


def shipped_backbones() -> list[str]:
    """Names of the backbones whose weights come with the kit."""
    return sorted(file.stem for file in SHIPPED_DIR.glob("*.safetensors"))


def load_strictly(model: nn.Module, file: Path, head: tuple[str, ...]) -> None:
    """Load weights into a model without its classifier; a key missing or too many is a WeightsError.

    `head` names the modules of the classifier that the file may hold and the model does not. One prefix may
    stand before all keys of the model, as DataParallel, torch.compile and Lightning put there.
    """
    try:
        tensors = unprefixed(load_file(file), model.state_dict().keys())
    except SafetensorError as error:
        what = f"the file is cut short or altered: {error}"
        raise WeightsError(what, where=file, hint="Fetch it, or make it, again.") from None
    of_head = tuple(f"{module}." for module in head)
    kept = {
        name: value.float() if value.is_floating_point() else value
        for name, value in tensors.items()
        if not name.startswith(of_head)
    }
    try:
        missing, unexpected = model.load_state_dict(kept, strict=False)
    except RuntimeError as error:  # sizes that do not fit
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"the weights do not fit: {reason}", where=file) from None
    if missing or unexpected:
        raise WeightsError(
            f"{len(missing)} keys are missing {missing[:3]}, {len(unexpected)} are not the model's",
            where=file,
            hint="The file holds another architecture; nothing of it was used.",
        )
    refuse_not_finite(kept, file)


def unprefixed(tensors: dict[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """The tensors below the prefix, such as `net.` or `model.encoder.`, before all `wanted` names.

    All tensors as they are where no prefix, or more than one, makes these names complete.
    """
    first = next(iter(wanted))
    found = [name.removesuffix(first) for name in tensors if f".{name}".endswith(f".{first}")]
    fitting = [prefix for prefix in found if all(prefix + name in tensors for name in wanted)]
    return with_prefix(tensors, fitting[0]) if len(fitting) == 1 else tensors


@cache
def online() -> bool:
    """Whether the hub answers; asked once, for PROBE_S at most, and not at all under HF_HUB_OFFLINE."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def probe() -> None:
        try:
            urllib.request.urlopen(huggingface_hub.constants.ENDPOINT, timeout=PROBE_S).close()
        except urllib.error.HTTPError:
            pass  # an answer all the same
        except OSError:
            return
        answered.set()

    # In a thread, because looking up a name has no time limit of its own: offline it can take much longer.
    threading.Thread(target=probe, daemon=True).start()
    return answered.wait(PROBE_S)


def _verified(kind: SourceKind, backbone: str, file: Path) -> WeightsSource:
    if not file.is_file():
        raise WeightsError("the weights file is missing", where=file, hint="Check the path.")
    if file.suffix != ".safetensors":
        what = f"{file.suffix or 'such'} files are not opened, they run code"
        raise WeightsError(what, where=file, hint=CONVERT.format(file=file))
    has_manifest = file.with_name(file.name + ".json").exists()
    return WeightsSource(kind, backbone, file, sha256(verified(file) if has_manifest else file))


def _attached(backbone: str, folder: Path) -> Path | None:
    """The first `<name>.safetensors` or `<name>/model.safetensors` below the folder."""
    if not Path(folder).is_dir():
        raise WeightsError("the folder of attached weights is missing", where=folder, hint="Check the path.")
    name = file_name(backbone).removesuffix(".safetensors")
    found = sorted([*folder.rglob(f"{name}.safetensors"), *folder.rglob(f"{name}/model.safetensors")])
    if found:
        return found[0]
    pickles = sorted(file for suffix in PICKLES for file in folder.rglob(f"{name}{suffix}"))
    if pickles:
        what, file = "only a pickle is attached, which is not opened", pickles[0]
        raise WeightsError(what, where=file, hint=CONVERT.format(file=file))
    return None


def _packaged(weights: str, backbone: str) -> Path:
    """The weights of installed packages, as safetensors in the cache."""
    from kitlib.embed.weights import ct, imagenet  # which read pickles, by what needs this module

    known, look, convert = {
        "imagenet": (imagenet.BACKBONE, imagenet.imagenet_file, imagenet.convert_imagenet),
        "ct": (ct.BACKBONE, ct.ct_files, ct.convert_ct),
    }[weights]
    if backbone != known:
        what = f"weights {weights!r} of {backbone!r} are in no package that the kit knows"
        hint = f"Those of {known} are; of others, ask for 'hub' or give a file."
        raise WeightsError(what, where=f"weights={weights}", hint=hint)
    look()
    cached = cache_dir() / f"{weights}_{file_name(backbone)}"
    if not is_complete(cached) or "seen" not in facts_of(cached):  # a file of before does not say it
        convert(cached)
    return cached


def _from_hub(backbone: str) -> Path | None:
    """The file on the hub, or in its cache when offline; None for models that timm does not keep there."""
    cfg = timm.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    if cfg is None or not cfg.hf_hub_id:
        return None
    offline = not online()
    try:
        file = huggingface_hub.hf_hub_download(cfg.hf_hub_id, "model.safetensors", local_files_only=offline)
    except (EntryNotFoundError, OSError):
        return None
    return Path(file)
