"""Commands as they were spelt before: they go on working, and say what they are called now."""

from collections.abc import Sequence

RENAMED = {
    "localise": ("levels", "find"),
    "audit": ("levels", "audit"),
    "localiser": ("levels",),  # train
    "pretrain": ("weights", "train"),
    "convert": ("weights", "convert"),
    "quantise": ("weights", "quantise"),
}
"""`phantom`, whose flags became verbs, has a parser of its own."""


def renamed(words: Sequence[str]) -> tuple[list[str], str]:
    """The words of a command as they are spelt now, and what to say of it; nothing where nothing changed."""
    first, *rest = words or [""]
    if first == "phantom":
        return [*words], "`phantom` is now called `phantoms make`, `phantoms oracle` and `phantoms page`"
    if first not in RENAMED:
        return [*words], ""
    now = RENAMED[first]
    return [*now, *rest], f"`{first}` is now called `{' '.join(now)}`"
