"""The experiments by name: the kit's first four, and the systems of the seeds."""

from kitlib.errors import UsageError, known_name
from kitlib.experiments.experiment import Experiment, PublishedResult
from kitlib.experiments.published import published_experiments

__all__ = ["EXPERIMENTS", "Experiment", "PublishedResult", "experiment", "experiments", "register"]

EXPERIMENTS: dict[str, Experiment] = {}


def register(entry: Experiment) -> Experiment:
    """Add an experiment; UsageError if its name is taken."""
    if entry.name in EXPERIMENTS:
        raise UsageError(
            f"experiment {entry.name!r} is registered already", hint="Give it a name of its own."
        )
    EXPERIMENTS[entry.name] = entry
    return entry


def experiment(name: str) -> Experiment:
    """The experiment of that name; UsageError on an unknown one."""
    known_name(name, EXPERIMENTS, "experiment")
    return EXPERIMENTS[name]


def experiments(family: str | None = None) -> list[Experiment]:
    """The experiments of a family, or all of them, in the order of registration; UsageError on no family."""
    if family is not None:
        known_name(family, {entry.family: entry for entry in EXPERIMENTS.values()}, "family")
    return [entry for entry in EXPERIMENTS.values() if family in (None, entry.family)]


register(Experiment("prior", "first", "prior", description="Weighted frequencies, no image"))
register(
    Experiment(
        "cell_attention",
        "first",
        "cell_attention",
        description="Attention from each cell to slices of all sequences",
    )
)
register(
    Experiment("lightgbm", "first", "lightgbm", description="Boosted trees on pooled embeddings and metadata")
)
register(
    Experiment("svc", "first", "svc", description="Support vector machines on pooled embeddings and metadata")
)
for entry in published_experiments():
    register(entry)
