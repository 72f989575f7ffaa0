"""Starting weights of a grader: shipped, ImageNet, none, or those of a file."""

from pathlib import Path

from kitlib.artefacts import fingerprint_of
from kitlib.embed.weights import imagenet
from kitlib.errors import UsageError, WeightsError
from kitlib.grade.calibration import AS_LEARNT, Calibration
from kitlib.grade.network import BACKBONE, GREY_MEAN, GREY_SD, SHIPPED, StudyNet, calibration_of, load_network

STARTS = ("shipped", "imagenet", "nothing")
"""Named starts; anything else is the path of a file that the kit saved."""


def started(start: str, backbone: str = "") -> StudyNet:
    """Build a network to train; random weights are drawn from torch's global generator.

    `backbone` defaults to that of the start. Raises UsageError if the weights are of another backbone,
    WeightsError if there are no weights, and ArtefactError if their file is broken.
    """
    if start == "nothing":
        return StudyNet(backbone or BACKBONE)
    if start == "imagenet":
        network = StudyNet(imagenet.BACKBONE)
        tensors = imagenet.imagenet_tensors((GREY_MEAN,), (GREY_SD,))
        of_trunk = {name: tensors[name] for name in network.views.trunk.state_dict()}
        network.views.trunk.load_state_dict(of_trunk)
    else:
        network = load_network(file_of_start(start)).requires_grad_(True)
    if backbone not in ("", network.backbone):
        what = f"the weights of {start!r} are those of {network.backbone!r}, not of {backbone!r}"
        raise UsageError(what, hint="Leave the backbone out, or start from nothing.")
    return network


def fingerprint_of_start(start: str) -> str | None:
    """Return the sha256 of a start's weights; None if it has none."""
    if start == "nothing":
        return None
    if start == "imagenet":
        return imagenet.SHA256
    return fingerprint_of(file_of_start(start))


def calibration_of_start(start: str) -> Calibration:
    """Return the calibration of a start's file; AS_LEARNT if the start is not a grader."""
    return AS_LEARNT if start in ("imagenet", "nothing") else calibration_of(file_of_start(start))


def file_of_start(start: str) -> Path:
    """Return the grader's weights file that a start names. Raises WeightsError if it is missing."""
    file = SHIPPED if start == "shipped" else Path(start)
    if not file.is_file():
        hint = f"Check the path, or start from {', '.join(STARTS)}."
        raise WeightsError("there is no file of weights to start from", where=file, hint=hint)
    return file
