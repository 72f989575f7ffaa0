"""A page that opens without a network: text, tables and figures in one file, with no script."""

import base64
import os
from html import escape
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from kitlib.errors import DataError, UsageError
from kitlib.report.style import INK, Picture

WEBP_QUALITY = 85
CSS = f"""
body {{ margin: 0 auto; padding: 2.5rem 1.5rem 4rem; background: #fff; color: {INK};
       font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 .8rem; }}
h2 {{ font-size: 1.3rem; margin: 2.8rem 0 .6rem; padding-top: .9rem; border-top: 1px solid #d9dee2; }}
p {{ max-width: 46rem; margin: .6rem 0; }}
nav {{ margin: 1.2rem 0; }}
nav a {{ margin-right: 1.1rem; white-space: nowrap; color: #0072b2; text-decoration: none; }}
figure {{ margin: 1.4rem 0 2rem; }}
img {{ max-width: 100%; height: auto; display: block; }}
figcaption, caption {{ color: #555e66; font-size: .9rem; max-width: 46rem; text-align: left; }}
figcaption {{ margin-top: .4rem; }}
caption {{ caption-side: top; padding-bottom: .4rem; white-space: nowrap; }}
table {{ border-collapse: collapse; margin: 1.2rem 0; font-size: .92rem;
        font-variant-numeric: tabular-nums; }}
th, td {{ padding: .25rem .9rem .25rem 0; text-align: left; border-bottom: 1px solid #e8ebee; }}
thead th {{ border-bottom: 2px solid #b9c2c9; }}
summary {{ cursor: pointer; color: #0072b2; }}
pre {{ margin: .6rem 0; padding: .6rem .9rem; overflow-x: auto; font-size: .82rem; line-height: 1.45; }}
.wide {{ overflow-x: auto; }}
.grid {{ display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; margin: .8rem 0 1.4rem;
         max-width: 41rem; }}
.grid figure {{ margin: 0; max-width: 100%; width: 19rem; }}
.grid img {{ width: 100%; image-rendering: auto; background: #000; }}
.cells td, .cells th {{ padding: .45rem .7rem; border: 2px solid #fff; vertical-align: top;
                       min-width: 7.2rem; }}
.cells thead th, .cells tbody th {{ background: #fff; min-width: 0; white-space: nowrap; }}
.cells tbody th {{ position: sticky; left: 0; }}
.bar {{ display: flex; height: .5rem; margin: .3rem 0 .2rem; }}
pre.code {{ background: #f4f6f7; border-left: 3px solid #b7cbd9; }}
@media (max-width: 40rem) {{
  body {{ padding: 1.5rem 1rem 3rem; }}
  caption {{ white-space: normal; max-width: calc(100vw - 2rem); }}
  figure {{ overflow-x: auto; padding-bottom: .7rem; }}
  .cells td {{ min-width: 5.6rem; padding: .4rem .45rem; }}
  section > figure img, details > figure img {{ max-width: 44rem; }}
}}
"""


def page(title: str, lead: str, sections: dict[str, list[str]], *, width_rem: int = 66) -> str:
    """The whole page; `sections` holds, by heading, parts made by the functions below."""
    links = "".join(f'<a href="#{_anchor(name)}">{escape(name)}</a> ' for name in sections)
    body = "".join(
        f'<section id="{_anchor(name)}"><h2>{escape(name)}</h2>\n{"".join(parts)}</section>\n'
        for name, parts in sections.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        f"<style>{CSS}body {{ max-width: {width_rem}rem; }}</style></head>\n"
        f"<body>\n<h1>{escape(title)}</h1>\n{paragraph(lead)}"
        f'<nav aria-label="Sections">{links}</nav>\n<main>\n{body}</main>\n</body>\n</html>\n'
    )


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text.strip())}</p>\n"


def figure(picture: Picture | bytes, caption: str, kind: str = "png") -> str:
    """A figure within the page and its caption, which also says it to those who cannot see it."""
    text = caption.strip()
    shown = image(picture if isinstance(picture, bytes) else picture._repr_png_(), text, kind)
    return f"<figure>{shown}\n<figcaption>{escape(text)}</figcaption></figure>\n"


def image(content: bytes, text: str, kind: str = "png") -> str:
    """An image within the page; the text is for those who cannot see it."""
    data = base64.b64encode(content).decode("ascii")
    return f'<img alt="{escape(text)}" src="data:image/{kind};base64,{data}">'


def as_webp(png: bytes) -> bytes:
    """A PNG as WebP, of which slices take a fifth of the bytes; DataError where it is none."""
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise DataError("a picture cannot be read", hint="Run the notebook again.")
    return cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])[1].tobytes()


def code(source: str) -> str:
    """Source as it was written."""
    return f'<pre class="code">{escape(source)}</pre>\n'


def printed(text: str) -> str:
    """What a program printed."""
    return f"<pre>{escape(text)}</pre>\n"


def table(frame: pd.DataFrame, caption: str) -> str:
    """A table without its index; numbers keep three decimals."""
    rows = frame.to_html(index=False, border=0, float_format="{:.3f}".format, na_rep="-", justify="left")
    return rows.replace("<thead>", f"<caption>{escape(caption)}</caption>\n<thead>", 1) + "\n"


def scrolling(part: str, name: str) -> str:
    """A part that may be wider than the page, with a name for those who cannot see it."""
    return f'<div class="wide" role="region" aria-label="{escape(name)}" tabindex="0">{part}</div>\n'


def grid(figures: list[str]) -> str:
    """Small figures side by side, as many as the page is wide."""
    return f'<div class="grid">{"".join(figures)}</div>\n'


def folded(summary: str, part: str, *, is_open: bool = False) -> str:
    """A part that the reader opens, or closes, by a click."""
    state = " open" if is_open else ""
    return f"<details{state}><summary>{escape(summary)}</summary>\n{part}</details>\n"


def refuse_unwritable(out: Path) -> None:
    """Before minutes of work, refuse a page that could not be written; UsageError or DataError."""
    if out.suffix != ".html" or out.is_dir():
        raise UsageError("the page is a file of HTML", where=out, hint="Give a name that ends in .html.")
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise DataError("no file can be written there", where=out, hint="Choose another folder.")


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())
