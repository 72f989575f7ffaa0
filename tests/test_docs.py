"""The documents: their links resolve, and their figures state a date, data and a command."""

import re
from pathlib import Path

import pandas as pd
import pytest

from kitlib.cli import build_parser
from kitlib.commands.old import RENAMED
from kitlib.mri.ledger import DOUBTFUL
from kitlib.phantom.truth import VERSION

HOME = Path(__file__).parents[1]
PAGES = sorted([*HOME.glob("*.md"), *HOME.glob("docs/*.md"), *HOME.glob("results/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
COMMAND = re.compile(r"python -m kitlib ([a-z]+)")


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub generates them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(HOME)))
def test_every_link_leads_to_a_file_and_its_heading(page: Path) -> None:
    for name, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), f"{name}#{anchor}"


def test_every_picture_of_the_documents_is_shown_by_one() -> None:
    shown = {
        (page.parent / name).resolve()
        for page in PAGES
        for name, _ in LINK.findall(page.read_text(encoding="utf-8"))
    }
    assert set((HOME / "docs" / "images").glob("*.png")) <= shown


def test_every_command_named_exists() -> None:
    """Dated pages, such as the changelog, may use the spelling of their time."""
    (commands,) = (action for action in build_parser()._actions if action.metavar == "COMMAND")
    assert isinstance(commands.choices, dict)
    of_today = {*commands.choices} - {"phantom"}
    named = {page: {*COMMAND.findall(page.read_text(encoding="utf-8"))} for page in PAGES}
    assert len(set().union(*named.values())) > 10
    for page, names in named.items():
        dated = page.parent.name == "results" or page.name == "CHANGELOG.md"
        assert names <= (of_today | {*RENAMED, "phantom"} if dated else of_today), page


def test_the_codes_in_bold_are_those_that_leave_images_in_doubt() -> None:
    page = (HOME / "docs" / "own_study.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\*\*`([a-z_.]+)`\*\*", page)) == DOUBTFUL


def test_every_ledger_code_is_explained() -> None:
    page = (HOME / "docs" / "own_study.md").read_text(encoding="utf-8")
    calls = re.compile(r'(?:Fault|_filled)\(\s*"([a-z]+\.[a-z_]+)"')
    used = {
        code for file in (HOME / "kitlib").rglob("*.py") for code in calls.findall(file.read_text("utf-8"))
    }
    assert len(used) > 20
    assert {code for code in used if f"`{code}`" not in page and not code.startswith("slice.")} == set()


def test_the_data_card_knows_the_version_that_is_drawn() -> None:
    card = (HOME / "docs" / "data_card.md").read_text(encoding="utf-8")
    versions = re.findall(r"^\| (\d+) \|", card, re.MULTILINE)
    assert list(map(int, versions)) == list(range(1, VERSION + 1))


def test_the_readme_is_short() -> None:
    assert 6000 < (HOME / "README.md").stat().st_size < 8192


@pytest.mark.parametrize("page", sorted(HOME.glob("results/*.md")), ids=lambda path: path.stem)
def test_results_say_by_which_command_on_what_and_when(page: Path) -> None:
    head = page.read_text(encoding="utf-8")[:2500]
    for word in ("| made by | `", "| data |", "| date", "| weights |", "phantoms"):
        assert word in head
    assert re.search(r"\b20\d\d-\d\d-\d\d\b", page.read_text(encoding="utf-8"))


def test_the_table_of_published_systems_is_that_of_its_page() -> None:
    table = pd.read_csv(HOME / "results" / "published_systems.csv")
    page = (HOME / "results" / "published_systems.md").read_text(encoding="utf-8")
    honest = table[table["split"] == "studies"]
    assert honest["score"].between(honest["low"], honest["high"]).all()
    for row in honest.itertuples():
        scored = f"{row.score:.3f} ({row.low:.3f} to {row.high:.3f})"
        assert re.search(rf"^\| `{re.escape(row.experiment)}` \|.*{re.escape(scored)}", page, re.MULTILINE)


def test_facts_that_the_code_cites_are_there() -> None:
    cited = {
        number
        for path in (HOME / "kitlib").rglob("*.py")
        for number in re.findall(r"facts\.md, (\d)", path.read_text(encoding="utf-8"))
    }
    sections = re.findall(
        r"^## (\d)\.", (HOME / "docs" / "facts.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert cited
    assert cited <= set(sections)
