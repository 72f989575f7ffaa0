"""How published figures come about: the same systems under whole-study folds and under splits that leak."""

import pandas as pd

from kitlib.report.style import INK, QUIET, SERIES_COLOURS, Picture, empty_figure, look, new_figure

column2title = {"accuracy": "Accuracy", "macro_f1": "Macro-F1", "macro_auc": "Macro AUC-ROC"}
LABELS = (("honest", SERIES_COLOURS[0]), ("leaking", SERIES_COLOURS[1]), ("published", INK))


@look
def leaks(table: pd.DataFrame, mark: float | None = None) -> Picture:
    """Three measures of each system, honest, leaking and published, beside each other.

    Columns: system, kind (`honest`, `leaking` or `published`), accuracy, macro_f1 and macro_auc, which may be
    NaN. `mark` is the accuracy of answering Normal/Mild everywhere.
    """
    if table.empty:
        return empty_figure("no system was judged twice")
    systems = list(dict.fromkeys(table["system"]))
    figure = new_figure(11, 1.5 + 0.3 * len(systems), "The same systems, judged in two ways")
    for axes, (column, title) in zip(
        figure.subplots(1, len(column2title), sharey=True), column2title.items()
    ):
        for kind, colour in LABELS:
            one = table[table["kind"] == kind]
            axes.plot(one[column], one["system"].map(systems.index), "o", color=colour, label=kind)
        if mark is not None and column == "accuracy":
            axes.axvline(mark, color=QUIET, linestyle="--", linewidth=1)
            axes.text(mark, len(systems) - 0.5, " Normal/Mild\n everywhere", fontsize=7, va="bottom")
        axes.set(title=title, xlim=(0, 1.02), ylim=(-0.6, len(systems) + 0.3))
        axes.grid(axis="both")
    figure.axes[0].set_yticks(range(len(systems)), systems)
    figure.axes[-1].legend(loc="lower left")
    return figure
