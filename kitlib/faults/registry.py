"""The registry of damages: named functions that change one study of a copied competition in place."""

from collections.abc import Callable
from dataclasses import dataclass

from kitlib.faults.subject import Subject

Change = Callable[[Subject], None]


@dataclass(frozen=True)
class Damage:
    """One way in which data come to harm."""

    name: str
    kind: str  # the module that it stands in
    what: str  # what it does, in a line
    change: Change
    is_harmless: bool  # the study says the same as before, and its rows have to


DAMAGES: dict[str, Damage] = {}
"""By name; importing `kitlib.faults.kinds` fills it."""


def damage(*, harmless: bool = False) -> Callable[[Change], Change]:
    """Register a function as a damage: its name is the name, its docstring what it does."""

    def register(change: Change) -> Change:
        name = change.__name__.replace("_", " ")
        what = (change.__doc__ or "").rstrip(".")
        DAMAGES[name] = Damage(name, change.__module__.rpartition(".")[2], what, change, harmless)
        return change

    return register
