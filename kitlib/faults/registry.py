"""The registry of damages: named functions that change one study of a copied competition in place."""

from collections.abc import Callable
from dataclasses import dataclass

from kitlib.faults.subject import Subject

Change = Callable[[Subject], None]


@dataclass(frozen=True)
class Damage:
    """One way in which data can be damaged."""

    name: str
    kind: str  # the name of its module
    what: str  # what it does, in one line
    change: Change
    is_harmless: bool  # the study is equivalent to the intact one, so its rows must not change


DAMAGES: dict[str, Damage] = {}
"""Damages by name; importing `kitlib.faults.kinds` registers them."""


def damage(*, harmless: bool = False) -> Callable[[Change], Change]:
    """Register a function as a damage, with its name and its docstring as description."""

    def register(change: Change) -> Change:
        name = change.__name__.replace("_", " ")
        what = (change.__doc__ or "").rstrip(".")
        DAMAGES[name] = Damage(name, change.__module__.rpartition(".")[2], what, change, harmless)
        return change

    return register
