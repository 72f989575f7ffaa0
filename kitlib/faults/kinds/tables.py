"""Lines of the test tables that repeat, contradict, break off or say something else."""

from kitlib.faults.registry import damage
from kitlib.faults.subject import SAMPLE, Subject
from kitlib.terms import AXIAL_T2, SAGITTAL_T1, SAGITTAL_T2


def exchanged(lines: list[str], one: str, other: str) -> list[str]:
    """Lines in which two words stand in each other's place."""
    words = {one: other, other: one}
    parts = [line.rpartition(",") for line in lines]
    return [f"{ids},{words.get(word, word)}" for ids, _, word in parts]


def reworded(study: Subject, word: str) -> None:
    """Let the table call the drawn series by another word."""
    study.retell(lambda lines: [line.replace(study.sequence, word) for line in lines])


@damage(harmless=True)
def line_twice(study: Subject) -> None:
    """A line stands twice."""
    study.retell(lambda lines: [*lines, lines[0]])


@damage(harmless=True)
def spaces_in_lines(study: Subject) -> None:
    """Spaces stand around the fields."""
    study.retell(lambda lines: [line.replace(",", " , ") + " " for line in lines])


@damage()
def lines_contradict(study: Subject) -> None:
    """A series has a second line, of another sequence."""
    study.retell(lambda lines: [*lines, *exchanged(lines, SAGITTAL_T1, SAGITTAL_T2)])


@damage()
def unknown_word(study: Subject) -> None:
    """A series is called by a word of the scanner."""
    reworded(study, "t2_tse_sag_320")


@damage()
def no_word(study: Subject) -> None:
    """A series is called nothing."""
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
    """Sagittal T1 and axial T2 are called by each other's name."""
    study.retell(lambda lines: exchanged(lines, SAGITTAL_T1, AXIAL_T2))


@damage()
def contrasts_exchanged(study: Subject) -> None:
    """Sagittal T1 and T2 are called by each other's name."""
    study.retell(lambda lines: exchanged(lines, SAGITTAL_T1, SAGITTAL_T2))


@damage()
def contrasts_exchanged_untold(study: Subject) -> None:
    """The same, and no tag tells of what contrast a series is."""
    contrasts_exchanged(study)
    tags = dict.fromkeys(("EchoTime", "RepetitionTime", "InversionTime", "SeriesDescription"))
    study.edit(sorted(study.folder.rglob("*.dcm")), **tags)


@damage()
def one_contrast_twice(study: Subject) -> None:
    """Both sagittal series are called T2."""
    study.retell(lambda lines: [line.replace(SAGITTAL_T1, SAGITTAL_T2) for line in lines])


@damage()
def line_cut(study: Subject) -> None:
    """A line ends within its numbers."""
    study.retell(lambda lines: [*lines[1:], lines[0][: lines[0].index(",") + 3]])


@damage()
def bytes_of_no_text(study: Subject) -> None:
    """A series is called by bytes that are no UTF-8."""
    reworded(study, "\udcff\udcc0\udcfe")


@damage()
def quote_left_open(study: Subject) -> None:
    """A quotation mark opens a field and nothing closes it."""
    reworded(study, f'"{study.sequence}')


@damage()
def numbers_of_a_spreadsheet(study: Subject) -> None:
    """A spreadsheet has rewritten the numbers of the study."""
    study.retell(lambda lines: [f"{study.study_id:.5E},{line.partition(',')[2]}" for line in lines])


@damage(harmless=True)
def hostile_numbers(study: Subject) -> None:
    """Further lines are of studies such as ../x, -1 or 10 to the 19th."""
    numbers = ("../x", "-1", "1" + "0" * 19, "$(id)", "0x1F", "")
    study.retell(lambda lines: [*lines, *(f"{number},{study.series_id()},{AXIAL_T2}" for number in numbers)])


@damage(harmless=True)
def absent_from_sample(study: Subject) -> None:
    """The sample submission has no row of the study."""
    study.retell(lambda _: [], SAMPLE)
