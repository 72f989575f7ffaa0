"""Chapters: the sentence at the head of every notebook, and an executed one as a page that opens offline."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

from kitlib.artefacts import write_text
from kitlib.errors import DataError
from kitlib.report.pages import html

OPENING = "About this chapter"
WIDGET = "application/vnd.jupyter.widget-view+json"
ABSOLUTE = re.compile(r'"((?:/[^/"]+){2,})"')
SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE)


def origin(root: Path, *, is_phantom: bool) -> str:
    """What the data are, so that no figure of phantoms is taken for one of patients."""
    if is_phantom:
        return (
            f"The data are PHANTOMS that the kit drew itself ({root.name}/): no patient is in them.\n"
            "Every figure below is a claim on phantoms, not on patients."
        )
    return f"The data are not the kit's own phantoms; they were given as {root.name}/."


def render_chapter(executed: Path, out: Path) -> Path:
    """Write an executed notebook as one HTML file with its pictures and without scripts; `out` comes back.

    Progress bars are left out, and the folders in which it was run are written by their last names. DataError
    on a file that is no notebook, or that does not begin with a title.
    """
    try:
        notebook = nbformat.read(executed, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise DataError(f"this is no notebook: {error}", where=executed) from error
    title, sections = _sections(notebook.cells)
    if not title:
        raise DataError("the first cell has no title", where=executed, hint="Begin it with a line `# Title`.")
    lead = f"{executed.name} as it was run: its text, its code, and what the code printed and drew."
    page = html.page(title, lead, {name: parts for name, parts in sections.items() if parts})
    injected = "\n".join(cell.source for cell in notebook.cells if _is_injected(cell))
    for folder in sorted(ABSOLUTE.findall(injected), key=len, reverse=True):
        page = page.replace(folder, Path(folder).name)
    write_text(out, page)
    return out


def _is_injected(cell: nbformat.NotebookNode) -> bool:
    """Whether papermill wrote it, with the folders of the machine that ran the notebook."""
    return "injected-parameters" in cell.metadata.get("tags", [])


def _sections(cells: list[nbformat.NotebookNode]) -> tuple[str, dict[str, list[str]]]:
    """The title, and the parts of the page under each heading."""
    title, heading = "", OPENING
    sections: dict[str, list[str]] = {OPENING: []}
    for cell in cells:
        if cell.cell_type == "markdown":
            for level, found, text in _split_at_headings(cell.source):
                if level == 1:
                    title = found
                elif level == 2:
                    heading = found
                sections.setdefault(heading, []).extend(_prose(text))
        elif not _is_injected(cell):
            sections[heading] += [html.code(cell.source), *_outputs(cell, heading)]
    return title, sections


def _split_at_headings(source: str) -> Iterator[tuple[int, str, str]]:
    """Level (0 before any), heading and text below it, for each heading of the first two levels."""
    for block in re.split(r"^(?=##? )", source, flags=re.MULTILINE):
        match = re.match(r"(##?) (.*)\n?", block)
        yield (len(match[1]), match[2].strip(), block[match.end() :]) if match else (0, "", block)


def _prose(text: str) -> list[str]:
    from nbconvert.filters import markdown2html  # half a second

    return [markdown2html(text) + "\n"] if text.strip() else []


def _outputs(cell: nbformat.NotebookNode, heading: str) -> Iterator[str]:
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if WIDGET in data:
            continue
        if "image/png" in data:
            yield html.image(html.as_webp(base64.b64decode(data["image/png"])), heading, "webp")
        elif "text/html" in data:
            yield SCRIPT.sub("", data["text/html"])
        elif text := data.get("text/plain", output.get("text", "")):
            yield html.printed(text)
