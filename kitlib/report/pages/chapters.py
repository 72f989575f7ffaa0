"""Sentences that every notebook says in the same words."""

from pathlib import Path


def origin(root: Path, *, is_phantom: bool) -> str:
    """What the data are, so that no figure of phantoms is taken for one of patients."""
    if is_phantom:
        return (
            f"The data are PHANTOMS that the kit drew itself ({root.name}/): no patient is in them.\n"
            "Every figure below is a claim on phantoms, not on patients."
        )
    return f"The data are not the kit's own phantoms; they were given as {root.name}/."
