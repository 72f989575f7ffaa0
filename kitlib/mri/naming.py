"""Identify the sequence of an undescribed series from its tags and the orientation of its slices.

Echo times are physics, descriptions are habit: where they contradict each other, neither is trusted.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kitlib.mri.dicom.tags import Tags
from kitlib.mri.ledger import Fault
from kitlib.mri.stack import Plane, Stack
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2

plane2sequences: dict[str, tuple[str, ...]] = {
    "sagittal": (SAGITTAL_T1, SAGITTAL_T2),
    "axial": (AXIAL_T2,),
}
weighted2sequence = {
    ("T1", "sagittal"): SAGITTAL_T1,
    ("T2", "sagittal"): SAGITTAL_T2,
    ("T2", "axial"): AXIAL_T2,
}
sequence2axis = {SAGITTAL_T1: 0, SAGITTAL_T2: 0, AXIAL_T2: 2}
"""The patient axis nearest to the normal of a sequence's slices."""
LEAST_COSINE = 0.5  # with that axis: slices through a steep sacrum are 45 degrees off and still axial
LEAST_SHARE = 0.6  # of a series' slices must lie in its plane; scouts lie in three

SCOUT = r"\b(loc|scout|survey|3 ?plane|three plane)\b|locali[sz]|lokali"
WITHOUT = r"\b(non|no|without|w o|pre|nativ\w*|ohne) ?(contrast|gd|gado\w*|km|c)\b"
WITH_AGENT = r"\b(post|contrast|gd|gad|gado\w*|km|ce)\b"
LATE_ECHO_MS, EARLY_ECHO_MS = 60.0, 30.0  # T2-weighted from, T1-weighted up to
SHORT_REPETITION_MS = 1300.0  # T1-weighted up to, also at 3 T
NULLS_FAT_MS, NULLS_FLUID_MS = (80.0, 350.0), 500.0  # inversion times of STIR; of T1-weighted FLAIR, from


@dataclass(frozen=True)
class Identification:
    """What a series was identified as, and on what evidence."""

    sequence: str | None  # None: not one that is read
    why: str


def identified_by_tags(tags: Tags, plane: Plane) -> Identification | None:
    """Identify the sequence of a series in this plane; None if its tags do not determine it."""
    if reason := _no_anatomy(tags):
        return Identification(None, reason)
    times, words = _by_times(tags), _by_words(tags)
    if times and words and times != words:
        return None
    weighting = times or words
    if weighting is None:
        return None
    if weighting == "T1" and (tags.has_agent or _says_agent(tags)):
        return Identification(None, "T1 after a contrast agent")
    why = "by its echo and repetition times" if times else "by its description"
    sequence = weighted2sequence.get((weighting, plane))
    return Identification(sequence, why if sequence else f"{plane} {weighting} {why}")


def main_plane(stacks: Sequence[Stack]) -> tuple[Plane, Identification | None]:
    """The plane of most slices of a series and, if it cannot be read, why."""
    slices = Counter[Plane]()
    for stack in stacks:
        slices[stack.plane] += len(stack)
    plane, most = slices.most_common(1)[0]
    if most < LEAST_SHARE * slices.total():
        return plane, Identification(None, "its slices lie in several planes, as a scout's do")
    return plane, None if plane in plane2sequences else Identification(None, f"its slices lie {plane}")


def in_plane(stacks: Sequence[Stack], sequence: str | None) -> tuple[list[Stack], list[Fault]]:
    """The stacks in the plane of a sequence, however oblique, and a fault for each other plane.

    Scouts may be filed with a series, or a table may mislabel it. If `sequence` is None, any plane is kept.
    """
    if sequence not in sequence2axis:
        return list(stacks), []
    kept = [stack for stack in stacks if np.abs(stack.normal[sequence2axis[sequence]]) >= LEAST_COSINE]
    others = sorted({stack.plane for stack in stacks if stack not in kept})
    details = [f"{plane} slices in a series of {sequence}" for plane in others]
    return kept, [Fault("series.plane", "slices left out", detail=detail) for detail in details]


def _no_anatomy(tags: Tags) -> str:
    """Why a series does not show the anatomy of the spine, or "" if it may."""
    if "LOCALIZER" in tags.kinds or re.search(SCOUT, tags.words):
        return "a scout"
    if tags.is_diffusion or tags.kinds & {"ADC", "DIFFUSION", "TRACEW", "FA"}:
        return "diffusion-weighted"
    if re.search(r"\b(dwi|dti|adc|diff\w*)\b", tags.words):
        return "diffusion-weighted"
    if tags.kinds & {"MIP", "MAX_IP", "MINIP", "PROJECTION IMAGE"} or "myelo" in tags.words:
        return "a projection"
    if tags.kinds & {"SUBTRACTION", "SUB", "PHASE", "PHASE MAP"}:
        return "computed from other images"
    return ""


def _by_times(tags: Tags) -> str | None:
    """T1 or T2 by echo, repetition and inversion times; None if they are in between or missing."""
    if tags.echo_ms >= LATE_ECHO_MS or NULLS_FAT_MS[0] <= tags.inversion_ms <= NULLS_FAT_MS[1]:
        return "T2"
    is_short = tags.repetition_ms <= SHORT_REPETITION_MS or tags.inversion_ms >= NULLS_FLUID_MS
    if 0 < tags.echo_ms <= EARLY_ECHO_MS and is_short and not tags.is_gradient_echo:
        return "T1"
    return None


def _by_words(tags: Tags) -> str | None:
    """T1 or T2 by the names of the series; None if they contain neither or both."""
    # No digit may follow: T12 is a vertebra.
    is_t1 = re.search(r"t1(?!\d)", tags.words) is not None
    is_t2 = re.search(r"t2(?!\d)|stir|tirm", tags.words) is not None
    return None if is_t1 == is_t2 else "T1" if is_t1 else "T2"


def _says_agent(tags: Tags) -> bool:
    return re.search(WITH_AGENT, re.sub(WITHOUT, "", tags.words)) is not None
