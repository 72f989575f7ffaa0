"""What a grader begins with: the weights that ship, those of ImageNet, none, or those of a file."""

from pathlib import Path

from kitlib.artefacts import fingerprint_of
from kitlib.embed.weights import imagenet
from kitlib.errors import UsageError, WeightsError
from kitlib.grade.calibration import AS_LEARNT, Calibration
from kitlib.grade.network import BACKBONE, GREY_MEAN, GREY_SD, SHIPPED, StudyNet, calibration_of, load_network

STARTS = ("shipped", "imagenet", "nothing")
"""What a start may be; anything else is the path of a file that the kit saved."""


def started(start: str, backbone: str = "") -> StudyNet:
    """A network to train; random parts of it are drawn from torch's generator.

    Without a `backbone` it is that of the start. UsageError where another is asked for than the weights fit,
    WeightsError where there are no weights, ArtefactError where their file is broken.
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
    """The sha256 of the weights that a start begins with; None where it begins with none."""
    if start == "nothing":
        return None
    if start == "imagenet":
        return imagenet.SHA256
    return fingerprint_of(file_of_start(start))


def calibration_of_start(start: str) -> Calibration:
    """That of the file that a start names; none where it names no grader."""
    return AS_LEARNT if start in ("imagenet", "nothing") else calibration_of(file_of_start(start))


def file_of_start(start: str) -> Path:
    """The file of weights of the kit's own that a start names; WeightsError where it is missing."""
    file = SHIPPED if start == "shipped" else Path(start)
    if not file.is_file():
        hint = f"Check the path, or start from {', '.join(STARTS)}."
        raise WeightsError("there is no file of weights to start from", where=file, hint=hint)
    return file
