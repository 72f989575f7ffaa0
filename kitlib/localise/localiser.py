"""The localiser: from a series or a study to landmarks on its instances, or a reason why there are none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
from torch import nn

from kitlib.errors import UsageError
from kitlib.localise.geometry import (
    axial_levels,
    recess_points,
)
from kitlib.localise.heatmaps import ARRAY_STEP_MM, Reader, array_stack, of_plane, read_maps, spread
from kitlib.localise.network import load_networks
from kitlib.localise.points import Located, Point
from kitlib.localise.prior import prior_points
from kitlib.localise.spine import Spine, find_spine
from kitlib.localise.transitional import JunctionNet, load_junction, transitional_chance
from kitlib.localise.views import SURE, View, canal_points, counted, foramen_points, preferred, recess_point
from kitlib.mri.ledger import Fault, Ledger
from kitlib.mri.stack import Stack
from kitlib.terms import AXIAL_T2, BELOW, LEVELS, SAGITTAL_T1, Kind

SAGITTAL_STEP_MM, MOST_SAGITTAL = 3.0, 24  # nearer slices show the same
GUESSED = 0.5  # confidence in a recess at the mean offset, of that in its level
LEAST_LEVELS = 3
JUNCTION = {LEVELS[-1], BELOW}  # points that the junction is looked at with
LEAST_MASS = 1.5  # canal points' mass, in all: less is no spine

NO_SAGITTAL = "no sagittal slice of a plausible size, which the count of levels needs"
NO_CANAL = "no spinal canal is visible"
FEW_LEVELS = f"fewer than {LEAST_LEVELS} levels are visible"
AMBIGUOUS = "the count of levels is ambiguous: the networks waver, or the sacrum is not in view"
TRANSITIONAL = "a transitional vertebra is likely: the count of levels is ambiguous"
UNREADABLE = "no image can be read"


class Localiser:
    """Finds landmarks with one network a plane; `read` is how a network is asked, for tests to replace.

    A network of the `junction`, where there is one, tells transitional spines, whose count is in doubt.
    """

    def __init__(
        self,
        networks: Mapping[Kind, nn.Module],
        read: Reader = read_maps,
        junction: JunctionNet | None = None,
    ) -> None:
        if "sagittal" not in networks:
            raise UsageError("a localiser needs a network for sagittal slices", hint="Use load_networks().")
        self.networks, self.read, self.junction = networks, read, junction

    @classmethod
    def shipped(cls) -> "Localiser":
        """With the weights that come with the kit."""
        return cls(load_networks(), junction=load_junction())

    def locate_study(
        self,
        series: Mapping[int, Sequence[Stack]],
        sequences: Mapping[int, str] | None = None,
        ledger: Ledger | None = None,
        *,
        study_id: int | None = None,
        fill: bool = False,
    ) -> Located:
        """The landmarks of a study's stacks by series; `sequences` are names of kitlib.terms, where known.

        Canal points lie on T2, foramina on T1, as far as there are both. Where the count is in doubt the
        points are the best guess and not to be trusted. With `fill`, a place that was not found is where it
        usually is, with confidence 0 and a fault: something to crop, no more.
        """
        ledger, sequences = Ledger() if ledger is None else ledger, sequences or {}
        views = [view for one, stacks in series.items() if (view := self._view(one, stacks))]
        views.sort(key=lambda view: -view.mass)
        points, reason = self._points(series, views, sequences)
        if not any(series.values()):
            reason = UNREADABLE
        if reason:
            ledger.add(Fault("landmarks.abstained", "no landmark to trust", study_id, detail=reason))
        if fill and (filled := prior_points(series, sequences, points)):
            detail = f"{len(filled)} places not found"
            ledger.add(Fault("landmarks.prior", "set where they usually are", study_id, detail=detail))
            points += filled
        return Located(tuple(points), reason is not None, reason)

    def locate_series(
        self, stacks: Sequence[Stack], series_id: int = 0, ledger: Ledger | None = None
    ) -> Located:
        """The landmarks of one series."""
        return self.locate_study({series_id: stacks}, ledger=ledger)

    def locate_array(
        self,
        images: np.ndarray,
        spacing_mm: float | tuple[float, float],
        step_mm: float = ARRAY_STEP_MM,
        ledger: Ledger | None = None,
    ) -> Located:
        """The landmarks of sagittal slices (n, H, W) or (H, W), head up and face to the left.

        Slices are taken to run from the patient's right to left, instances are counted from 1 and
        `patient_mm` is relative to the first pixel of the first slice.
        """
        return self.locate_series([array_stack(images, spacing_mm, step_mm)], ledger=ledger)

    def spine_of(self, stacks: Sequence[Stack]) -> Spine | None:
        """The canal's points on one sagittal series alone; None where none shows."""
        view = self._view(0, stacks)
        return view.spine if view else None

    def _view(self, series_id: int, stacks: Sequence[Stack]) -> View | None:
        sagittal = of_plane(stacks, "sagittal")
        if not sagittal:
            return None
        stack = sagittal[0]
        indices = spread(stack, SAGITTAL_STEP_MM, MOST_SAGITTAL)
        maps = self.read(self.networks["sagittal"], stack, indices, "sagittal")
        return View(series_id, stack, maps, find_spine(maps))

    def _points(
        self, series: Mapping[int, Sequence[Stack]], views: list[View], sequences: Mapping[int, str]
    ) -> tuple[list[Point], str | None]:
        """Points, and why they are not to be trusted."""
        if not views:
            return [], NO_SAGITTAL
        shown = [view for view in views if view.mass >= LEAST_MASS]
        if not shown:
            return [], NO_CANAL
        lead, spine, reason = counted(shown, sequences)
        if len(spine.canal_mm.keys() & set(LEVELS)) < LEAST_LEVELS:
            return [], FEW_LEVELS
        spine = replace(spine, transitional=self._transitional(shown, spine))
        if reason is None and spine.confidence < SURE:
            reason = TRANSITIONAL if spine.counted >= SURE else AMBIGUOUS
        first = preferred(views, sequences, SAGITTAL_T1)
        beside = [first, *(view for view in views if view is not first)]
        points = [
            *canal_points(lead, spine),
            *foramen_points(beside, spine),
            *self._recesses(series, spine, sequences),
        ]
        return points, reason

    def _transitional(self, shown: list[View], spine: Spine) -> float:
        """Chance of a transitional vertebra; 0 where nobody looks, or the lower points are not seen."""
        if self.junction is None or not spine.canal_mm.keys() >= JUNCTION:
            return 0.0
        place = spine.canal_mm[LEVELS[-1]]
        return transitional_chance(self.junction, [view.maps for view in shown], place) or 0.0

    def _recesses(
        self, series: Mapping[int, Sequence[Stack]], spine: Spine, sequences: Mapping[int, str]
    ) -> list[Point]:
        """Recesses on the slice that lies best on each disc, at the mean offset where none is seen."""
        stacks = [
            (series_id, stack)
            for series_id, found in series.items()
            for stack in of_plane(found, "axial")
            if sequences.get(series_id, AXIAL_T2) == AXIAL_T2
        ]
        sure = dict.fromkeys(LEVELS, GUESSED * spine.confidence)
        guesses = recess_points(stacks, spine.canal_mm, sure)
        if "axial" not in self.networks:
            return guesses
        best = axial_levels([stack for _, stack in stacks], spine.canal_mm).best
        points = []
        for order in sorted({order for order, _ in best.values()}):
            stack = stacks[order][1]
            indices = np.unique([index for other, index in best.values() if other == order])
            maps = self.read(self.networks["axial"], stack, indices, "axial")
            here = [guess for guess in guesses if best[guess.landmark.level][0] == order]
            points += [recess_point(guess, stack, maps, spine.confidence) for guess in here]
        return points


@cache
def worker_localiser() -> Localiser:
    """The shipped localiser on one thread, loaded once a process: for work in several processes."""
    return Localiser(load_networks(), partial(read_maps, threads=1), load_junction())
