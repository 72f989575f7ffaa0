"""The page of faults says how many cases passed, and names those that did not."""

from collections import Counter

import pandas as pd

from kitlib.report.pages.faults import damage_table, ending_table, faults_page, kind_table, silent_table

ROWS = [
    ("files", "file empty", "Files of no byte", 1, 0, "", 0.5, 3.0, "unharmed"),
    ("files", "file empty", "Files of no byte", 6, 2, "not reported in 2 of 6", 0.7, 1.0, ""),
    ("tags", "scouts", "Coronal scouts", 1, 0, "", 0.2, 0.0, "ends"),
    ("pairs", "pairs", "", 6, 0, "", 0.2, 0.0, ""),
]
COLUMNS = ["kind", "name", "what", "touched", "unreported", "failures", "seconds", "grown_mb", "naive"]
DAMAGES = pd.DataFrame(ROWS, columns=COLUMNS)
MUTANTS = pd.DataFrame(
    [
        ("values", 9, 5, 1, 2, 0, 1, 0.5, Counter({"RLE, Rows": 1})),
        ("coded", 4, 1, 0, 0, 3, 0, 0.0, Counter(a=3)),
    ],
    columns=["part", "mutants", "refused", "reported", "same", "pixels", "geometry", "moved, mm", "where"],
)
ENDINGS = pd.DataFrame(
    [("predict", "killed", "1 s", True, True, True), ("predict", "killed", "2 s", True, True, False)],
    columns=["job", "fault", "at", "is_whole", "is_said", "is_same"],
)


def test_kinds_count_cases_and_studies():
    table = kind_table(DAMAGES).set_index("kind")
    assert table.loc["files", "cases passed"] == "1 of 2"
    assert table.loc["files", "studies reported or unharmed"] == "5 of 7"
    assert table.loc["pairs", "studies reported or unharmed"] == "6 of 6"


def test_a_damage_says_what_fails_at_which_dose():
    table = damage_table(DAMAGES).set_index("damage")
    assert list(table.index) == ["file empty", "scouts"]
    assert table.loc["file empty", "1 touched"] == "passed"
    assert table.loc["file empty", "6 touched"] == "not reported in 2 of 6"
    assert table.loc["scouts", "naive"] == "ends"


def test_silent_places_are_listed_but_for_coded_samples():
    assert list(silent_table(MUTANTS)["where"]) == ["RLE, Rows (1)", "samples and their tables"]


def test_endings_are_counted_by_command_and_fault():
    (row,) = ending_table(ENDINGS).to_dict("records")
    assert (row["moments"], row["whole"], row["same"]) == (2, 2, 1)


def test_parts_that_were_not_asked_for_have_no_heading():
    page = faults_page({"data": "9"}, DAMAGES, MUTANTS, ENDINGS)
    assert all(
        f"## {title}" in page for title in ("Cases passed", "Each damage", "Mutants", "Interrupted runs")
    )
    page = faults_page({"data": "9"}, DAMAGES, pd.DataFrame(), pd.DataFrame())
    assert "## Mutants" not in page
    assert "## Interrupted runs" not in page
