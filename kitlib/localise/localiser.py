"""The localiser: from a study to landmarks on its instances, or a reason why there are none."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from torch import nn

from kitlib.errors import UsageError
from kitlib.localise.geometry import axial_levels, best_slices, of_plane, spread
from kitlib.localise.network import SHIPPED, load_networks
from kitlib.localise.points import Located, Point, prior_points, recess_points
from kitlib.localise.sagittal import (
    SURE,
    SagittalSeries,
    canal_points,
    counted,
    foramen_points,
    preferred,
    recess_point,
)
from kitlib.localise.sources import ARRAY_STEP_MM, array_study
from kitlib.localise.spine import Reader, Spine, find_spine, read_maps
from kitlib.localise.transitional import JunctionNet, load_junction, transitional_chance
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.stack import Plane
from kitlib.mri.study import Series, Study
from kitlib.terms import AXIAL_T2, BELOW, LEVELS, SAGITTAL_T1

SAGITTAL_STEP_MM, MOST_SAGITTAL = 3.0, 24  # closer slices show the same
GUESSED = 0.5  # confidence in a recess at the mean offset, relative to that in its level
LEAST_LEVELS = 3
JUNCTION = {LEVELS[-1], BELOW}  # points needed to examine the junction
LEAST_MASS = 1.5  # total mass of the canal points: less is not a spine
# Of the mass in the series that shows most. Phantoms' series have 5.5 to 7, turned on their side up to 2.8.
LEAST_SHARE = 0.5

NO_SAGITTAL = "no sagittal slice of a plausible size, which the count of levels needs"
NO_CANAL = "no spinal canal is visible"
FEW_LEVELS = f"fewer than {LEAST_LEVELS} levels are visible"
AMBIGUOUS = "the count of levels is ambiguous: the networks are uncertain, or the sacrum is not in view"
TRANSITIONAL = "a transitional vertebra is likely: the count of levels is ambiguous"
UNREADABLE = "no image can be read"


class Localiser:
    """Find landmarks with one network per plane; `read` runs a network, and tests may replace it.

    The optional `junction` network detects transitional spines, whose count of levels is in doubt.

    >>> located = Localiser.shipped().locate_array(np.zeros((5, 256, 256)), spacing_mm=1.0)
    >>> located.to_json()
    {'points': [], 'abstained': True, 'reason': 'no spinal canal is visible'}
    >>> from kitlib.phantom.study import draw_study
    >>> located = Localiser.shipped().locate_study(draw_study(7, seed=1, size="smoke").study)
    >>> located.abstained, len(located.points)
    (False, 27)
    """

    def __init__(
        self,
        networks: Mapping[Plane, nn.Module],
        read: Reader = read_maps,
        junction: JunctionNet | None = None,
    ) -> None:
        if "sagittal" not in networks:
            raise UsageError("a localiser needs a network for sagittal slices", hint="Use load_networks().")
        self.networks, self.read, self.junction = networks, read, junction

    @classmethod
    def shipped(cls) -> "Localiser":
        """Load the weights that ship with the kit."""
        return cls.load(SHIPPED)

    @classmethod
    def load(cls, path: Path) -> "Localiser":
        """Load your own weights, as `levels train` writes them; raises the errors of `load_networks`."""
        return cls(load_networks(path), junction=load_junction(path))

    def locate_study(self, study: Study, ledger: Ledger | None = None, *, fill: bool = False) -> Located:
        """Locate the landmarks of a study.

        Canal points lie on T2 and foramina on T1, if there are both. If the count of levels is in doubt, the
        points are the best guess and not to be trusted. With `fill`, a landmark that was not found is placed
        where it usually is, with confidence 0 and a fault: something to crop, no more.
        """
        ledger = Ledger() if ledger is None else ledger
        sagittal = [read for series in study.series if (read := self._read_sagittal(series))]
        sagittal.sort(key=lambda series: -series.mass)
        ledger.extend(_without_canal(study, sagittal))
        located = self._located(study, sagittal)
        if not any(series.stacks for series in study.series):
            located = _abstention(UNREADABLE)
        if reason := located.reason:
            ledger.add(Fault("landmarks.abstained", "no landmark to trust", study.study_id, detail=reason))
        if fill and (filled := prior_points(study, located.points)):
            detail = f"{len(filled)} places not found"
            ledger.add(Fault("landmarks.prior", "set where they usually are", study.study_id, detail=detail))
            located = replace(located, points=(*located.points, *filled))
        return located

    def locate_array(
        self, images: np.ndarray, spacing_mm: float | tuple[float, float], step_mm: float = ARRAY_STEP_MM
    ) -> Located:
        """Locate the landmarks on sagittal slices (n, H, W) or (H, W), head up and face to the left.

        Slices are assumed to run from the patient's right to left, instances are counted from 1, and
        `patient_mm` is relative to the first pixel of the first slice.
        """
        return self.locate_study(array_study(images, spacing_mm, step_mm))

    def spine_of(self, series: Series) -> Spine | None:
        """Find the canal points on a single sagittal series; None if it shows none."""
        read = self._read_sagittal(series)
        return read.spine if read else None

    def _read_sagittal(self, series: Series) -> SagittalSeries | None:
        stacks = of_plane(series.stacks, "sagittal")
        if not stacks:
            return None
        indices = spread(stacks[0], SAGITTAL_STEP_MM, MOST_SAGITTAL)
        maps = self.read(self.networks["sagittal"], stacks[0], indices, "sagittal")
        return SagittalSeries(replace(series, stacks=(stacks[0],)), maps, find_spine(maps))

    def _located(self, study: Study, sagittal: list[SagittalSeries]) -> Located:
        if not sagittal:
            return _abstention(NO_SAGITTAL)
        shown = _showing_canal(sagittal)
        if not shown:
            return _abstention(NO_CANAL)
        lead, spine, reason = counted(shown)
        if len(spine.canal_mm.keys() & set(LEVELS)) < LEAST_LEVELS:
            return _abstention(FEW_LEVELS)
        spine = replace(spine, transitional=self._transitional(shown, spine))
        if reason is None and spine.confidence < SURE:
            reason = TRANSITIONAL if spine.counted >= SURE else AMBIGUOUS
        first = preferred(sagittal, SAGITTAL_T1)
        beside = [first, *(series for series in sagittal if series is not first)]
        points = [*canal_points(lead, spine), *foramen_points(beside, spine), *self._recesses(study, spine)]
        return Located(tuple(points), reason is not None, reason, spine.confidence)

    def _transitional(self, shown: list[SagittalSeries], spine: Spine) -> float:
        """Probability of a transitional vertebra; 0 without a junction network or the lower points."""
        if self.junction is None or not spine.canal_mm.keys() >= JUNCTION:
            return 0.0
        maps = [series.maps for series in shown]
        return transitional_chance(self.junction, maps, spine.canal_mm[LEVELS[-1]]) or 0.0

    def _recesses(self, study: Study, spine: Spine) -> list[Point]:
        """Recesses on the slice that lies best on each disc, at the mean offset if none is seen."""
        stacks = [
            (series, stack)
            for series in study.series
            for stack in of_plane(series.stacks, "axial")
            if series.sequence in (AXIAL_T2, None)
        ]
        guesses = recess_points(stacks, spine.canal_mm, GUESSED * spine.confidence)
        if "axial" not in self.networks:
            return guesses
        best = best_slices(axial_levels([stack for _, stack in stacks], spine.canal_mm))
        points = []
        for order in sorted({order for order, _ in best.values()}):
            stack = stacks[order][1]
            indices = np.unique([index for other, index in best.values() if other == order])
            maps = self.read(self.networks["axial"], stack, indices, "axial")
            here = [guess for guess in guesses if best[guess.landmark.level][0] == order]
            points += [recess_point(guess, stack, maps, spine.confidence) for guess in here]
        return points


def _showing_canal(sagittal: list[SagittalSeries]) -> list[SagittalSeries]:
    """The series with a spinal canal, at least half as visible as in the clearest."""
    least = max(LEAST_MASS, LEAST_SHARE * max((series.mass for series in sagittal), default=0.0))
    return [series for series in sagittal if series.mass >= least]


def _without_canal(study: Study, sagittal: list[SagittalSeries]) -> Iterator[Fault]:
    """Yield a fault for each series that shows no canal although another does: it may not be a spine."""
    shown = _showing_canal(sagittal)
    for series_id in (one.series.series_id for one in sagittal if shown and one not in shown):
        detail = "no spinal canal is visible, as it is on another series"
        yield Fault("series.looks", "read all the same", study.study_id, series_id, detail=detail)


def _abstention(reason: str) -> Located:
    return Located((), abstained=True, reason=reason)


@cache
def shipped_localiser() -> Localiser:
    """The shipped localiser on all cores, loaded once."""
    return Localiser.shipped()


@cache
def worker_localiser() -> Localiser:
    """The shipped localiser on one thread, loaded once per process: for parallel processes."""
    return Localiser(load_networks(), partial(read_maps, threads=1), load_junction())
