"""How conditions, levels and groups are written on axes and in titles."""

from kitlib.terms import CONDITIONS, LEVELS, Group, condition2text, level2text

group2title: dict[Group, str] = {
    "spinal": "Spinal canal",
    "foraminal": "Neural foramen",
    "subarticular": "Subarticular",
}
condition2title = {
    condition: text.capitalize().replace(" foraminal", "\nforaminal").replace("lar stenosis", "lar\nstenosis")
    for condition, text in condition2text.items()
}
"""On two lines, so that five of them fit side by side."""

LEVEL_TITLES = [level2text[level] for level in LEVELS]
CONDITION_TITLES = [condition2title[condition] for condition in CONDITIONS]
