import base64
import re

import pandas as pd

from kitlib.report.pages import html
from kitlib.report.style import empty_figure


def test_a_page_holds_its_sections_in_order_and_links_to_them():
    page = html.page(
        "A & B", "Lead.", {"First things": [html.paragraph("one")], "Next?": [html.paragraph("two")]}
    )
    assert "<title>A &amp; B</title>" in page
    assert re.findall(r'href="#(.*?)"', page) == re.findall(r'<section id="(.*?)"', page)
    assert page.index("Lead.") < page.index("<p>one</p>") < page.index("<p>two</p>")


def test_text_is_never_markup():
    parts = [
        html.paragraph("<b>"),
        html.figure(empty_figure("nothing"), '<b> "quoted"'),
        html.table(pd.DataFrame({"<b>": ["<b>"]}), "<b>"),
        html.folded("<b>", ""),
    ]
    assert "<b>" not in "".join(parts)
    assert 'alt="&lt;b&gt; &quot;quoted&quot;"' in parts[1]


def test_a_figure_is_a_png_within_the_page():
    (data,) = re.findall(
        r'src="data:image/png;base64,(.*?)"', html.figure(empty_figure("nothing"), "Caption")
    )
    assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def test_a_table_rounds_numbers_and_shows_gaps():
    table = html.table(pd.DataFrame({"name": ["a", "b"], "value": [1 / 3, None]}), "Caption")
    assert re.findall(r"<td>(.*?)</td>", table) == ["a", "0.333", "b", "-"]
    assert "<caption>Caption</caption>" in table
