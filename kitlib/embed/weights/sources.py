"""Sources of a backbone's weights: a path, attached weights, the hub, the kit's cache, or the kit itself.

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
"""Hints appear in shared tables, so they have no folders of this machine."""
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl")
PROBE_S = 3.0


@dataclass(frozen=True)
class WeightsSource:
    """The source of weights; random ones have no file."""

    kind: SourceKind
    name: str
    file: Path | None
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}{', ' + self.sha256[:12] if self.sha256 else ''})"

    @property
    def facts(self) -> dict[str, Any]:
        """The sidecar's facts, such as `input_px`; empty for weights that the kit did not write."""
        return facts_of(self.file) if self.file and is_complete(self.file) else {}

    @property
    def label(self) -> str:
        """A short description of the weights, for tables."""
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

    "hub", "cached", "shipped", "imagenet" and "ct" (optional packages) and "random" request that source only;
    any other value is the path of a file. Raises WeightsError if there are none, or none that is safe to
    open.
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
    """Find weights as `find_weights` does, or return None. Raises WeightsError if none is safe to open."""
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
        if not is_complete(cached):  # an interrupted training, or a user's own file, which is kept
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
    """Return the folder of weights trained on this machine; on Kaggle it lasts for the session only."""
    if on_kaggle():
        return Path(tempfile.gettempdir()) / "kitlib" / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kitlib" / "weights"


def file_name(backbone: str) -> str:
    """Return a backbone's file name: `torchvision/resnet50` has torchvision_resnet50.safetensors."""
    return backbone.replace("/", "_") + ".safetensors"


def training_of(file: Path | None) -> dict[str, Any]:
    """Return the parameters of the training, maybe unfinished, that made a file; empty if none did."""
    return parameters_of(file) if file and is_complete(file) and "epoch" in facts_of(file) else {}


def shipped_backbones() -> list[str]:
    """List the backbones whose weights come with the kit."""
    return sorted(file.stem for file in SHIPPED_DIR.glob("*.safetensors"))


def load_strictly(model: nn.Module, file: Path, head: tuple[str, ...]) -> None:
    """Load weights into a model without its classifier. Raises WeightsError for missing or unexpected keys.

    `head` names the classifier's modules, which may be in the file but not in the model. All keys may share a
    prefix, such as those of DataParallel, torch.compile and Lightning.
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
    except RuntimeError as error:  # shapes that do not match
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
    """Strip the prefix, such as `net.` or `model.encoder.`, that precedes all `wanted` names.

    The tensors are unchanged if no prefix, or more than one, yields all these names.
    """
    first = next(iter(wanted))
    found = [name.removesuffix(first) for name in tensors if f".{name}".endswith(f".{first}")]
    fitting = [prefix for prefix in found if all(prefix + name in tensors for name in wanted)]
    return with_prefix(tensors, fitting[0]) if len(fitting) == 1 else tensors


@cache
def online() -> bool:
    """Return whether the hub answers; tried once, for at most PROBE_S, and never under HF_HUB_OFFLINE."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def probe() -> None:
        try:
            urllib.request.urlopen(huggingface_hub.constants.ENDPOINT, timeout=PROBE_S).close()
        except urllib.error.HTTPError:
            pass  # the server has answered
        except OSError:
            return
        answered.set()

    # In a thread, because name resolution has no timeout of its own: offline it can take much longer.
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
    """Find the first `<name>.safetensors` or `<name>/model.safetensors` below the folder."""
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
    """Convert the weights of installed packages to safetensors in the cache."""
    from kitlib.embed.weights import ct, imagenet  # late: they read pickles

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
    if not is_complete(cached) or "seen" not in facts_of(cached):  # older files lack it
        convert(cached)
    return cached


def _from_hub(backbone: str) -> Path | None:
    """Download the file from the hub, or find it in its cache when offline; None if timm has none there."""
    cfg = timm.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    if cfg is None or not cfg.hf_hub_id:
        return None
    offline = not online()
    try:
        file = huggingface_hub.hf_hub_download(cfg.hf_hub_id, "model.safetensors", local_files_only=offline)
    except (EntryNotFoundError, OSError):
        return None
    return Path(file)
