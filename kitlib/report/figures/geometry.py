"""Figures of geometry: how the slices of a series lie, and where the stacks of a study cut the patient."""

from collections.abc import Sequence

import numpy as np

from kitlib.mri.stack import Stack
from kitlib.report.figures.montage import height_per_width, show_slice
from kitlib.report.style import QUIET, Picture, empty_figure, look, new_figure, sequence2colour


@look
def slice_order(stack: Stack, order: Sequence[int], title: str, *, columns: int = 12) -> Picture:
    """The slices of a stack in a given order, and below them their positions along the normal."""
    if not len(order):
        return empty_figure("no slices")
    shown = list(order)[:columns]
    picture_in = 11 / columns * height_per_width(stack) + 0.3
    figure = new_figure(11, picture_in + 2.3, title)
    top, bottom = figure.subfigures(2, 1, height_ratios=(picture_in + 0.2, 2))
    for axes, index in zip(top.subplots(1, columns, squeeze=False)[0], [*shown, *[None] * columns]):
        axes.set_axis_off()
        if index is not None:
            show_slice(axes, stack, index)
            axes.set_title(f"{stack.positions_mm[index]:.0f} mm", fontsize=7, pad=2)
    graph = bottom.subplots()
    graph.plot(range(1, len(order) + 1), stack.positions_mm[list(order)], "o-", markersize=4)
    graph.set(xlabel="place in the order", ylabel="position along\nthe normal (mm)")
    graph.grid(axis="y")
    return figure


@look
def stack_positions(stacks: Sequence[tuple[str, Stack]], title: str) -> Picture:
    """Where every slice of a study cuts the patient, seen from the side and from the front."""
    if not stacks:
        return empty_figure("no stack to place")
    figure = new_figure(9, 4.8, title)
    views = (
        (1, "seen from the side", "front to back, y (mm)"),
        (0, "seen from the front", "right to left, x (mm)"),
    )
    for axes, (across, view, label) in zip(figure.subplots(1, 2, sharey=True), views):
        for sequence, stack in stacks:
            colour = sequence2colour.get(sequence, QUIET)
            for index in range(len(stack.pixels)):
                axes.plot(*_outline(stack, index)[:, [across, 2]].T, color=colour, linewidth=0.7, alpha=0.8)
        axes.set(title=view, xlabel=label)
        axes.set_aspect("equal", adjustable="datalim")
    figure.axes[0].set_ylabel("foot to head, z (mm)")
    draw = figure.axes[0].plot
    names = dict.fromkeys(sequence for sequence, _ in stacks)
    handles = [draw([], [], color=sequence2colour.get(name, QUIET), label=name)[0] for name in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _outline(stack: Stack, index: int) -> np.ndarray:
    """The closed outline of one slice in patient millimetres, (5, 3)."""
    _, height, width = stack.pixels.shape
    columns = np.array([0, width - 1, width - 1, 0, 0], dtype=float)
    rows = np.array([0, 0, height - 1, height - 1, 0], dtype=float)
    return stack.to_patient(columns, rows, np.full(5, float(index)))
