"""Lines of the test tables that are duplicated, contradictory, truncated or wrong."""

from kitlib.faults.registry import damage
from kitlib.faults.subject import SAMPLE, Subject
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2


def exchanged(lines: list[str], one: str, other: str) -> list[str]:
    """Swap two sequence names in the lines."""
    words = {one: other, other: one}
    parts = [line.rpartition(",") for line in lines]
    return [f"{ids},{words.get(word, word)}" for ids, _, word in parts]


def reworded(study: Subject, word: str) -> None:
    """Replace the drawn series' sequence name in the table."""
    study.retell(lambda lines: [line.replace(study.sequence, word) for line in lines])


@damage(harmless=True)
def line_twice(study: Subject) -> None:
    """A line occurs twice."""
    study.retell(lambda lines: [*lines, lines[0]])


@damage(harmless=True)
def spaces_in_lines(study: Subject) -> None:
    """There are spaces around the fields."""
    study.retell(lambda lines: [line.replace(",", " , ") + " " for line in lines])


@damage()
def lines_contradict(study: Subject) -> None:
    """Both sagittal series have a second line with another sequence."""
    study.retell(lambda lines: [*lines, *exchanged(lines, SAGITTAL_T1, SAGITTAL_T2)])


@damage()
def unknown_word(study: Subject) -> None:
    """A series is described by the scanner's protocol name."""
    reworded(study, "t2_tse_sag_320")


@damage()
def no_word(study: Subject) -> None:
    """A series has an empty description."""
    reworded(study, "")


@damage()
def line_missing(study: Subject) -> None:
    """One series has no line."""
    study.retell(lambda lines: [line for line in lines if not line.endswith(study.sequence)])


@damage()
def lines_missing(study: Subject) -> None:
    """No series of the study has a line."""
    study.retell(lambda _: [])


@damage()
def planes_exchanged(study: Subject) -> None:
    """The names of sagittal T1 and axial T2 are swapped."""
    study.retell(lambda lines: exchanged(lines, SAGITTAL_T1, AXIAL_T2))


@damage()
def contrasts_exchanged(study: Subject) -> None:
    """The names of sagittal T1 and T2 are swapped."""
    study.retell(lambda lines: exchanged(lines, SAGITTAL_T1, SAGITTAL_T2))


@damage()
def contrasts_exchanged_untold(study: Subject) -> None:
    """The names of sagittal T1 and T2 are swapped, and no tag identifies the contrast."""
    contrasts_exchanged(study)
    tags = dict.fromkeys(("EchoTime", "RepetitionTime", "InversionTime", "SeriesDescription"))
    study.edit(sorted(study.folder.rglob("*.dcm")), **tags)


@damage()
def one_contrast_twice(study: Subject) -> None:
    """Both sagittal series are described as T2."""
    study.retell(lambda lines: [line.replace(SAGITTAL_T1, SAGITTAL_T2) for line in lines])


@damage()
def line_cut(study: Subject) -> None:
    """A line is truncated within its ids."""
    study.retell(lambda lines: [*lines[1:], lines[0][: lines[0].index(",") + 3]])


@damage()
def bytes_of_no_text(study: Subject) -> None:
    """A description is not valid UTF-8."""
    reworded(study, "\udcff\udcc0\udcfe")


@damage()
def quote_left_open(study: Subject) -> None:
    """A field has an unclosed quotation mark."""
    reworded(study, f'"{study.sequence}')


@damage()
def numbers_of_a_spreadsheet(study: Subject) -> None:
    """A spreadsheet has rewritten the study's id in scientific notation."""
    study.retell(lambda lines: [f"{study.study_id:.5E},{line.partition(',')[2]}" for line in lines])


@damage(harmless=True)
def hostile_numbers(study: Subject) -> None:
    """Extra lines have study ids such as ../x, -1 or 10 to the 19th."""
    numbers = ("../x", "-1", "1" + "0" * 19, "$(id)", "0x1F", "")
    study.retell(lambda lines: [*lines, *(f"{number},{study.series_id()},{AXIAL_T2}" for number in numbers)])


@damage(harmless=True)
def absent_from_sample(study: Subject) -> None:
    """The sample submission has no rows for the study."""
    study.retell(lambda _: [], SAMPLE)
