"""All damages at once, each on its own study: other studies keep their rows, and each is reported."""

from dataclasses import replace
from pathlib import Path

import pytest

import kitlib.faults.kinds  # noqa: F401 - registers the damages
from kitlib.faults.cases import all_at_once
from kitlib.faults.judge import Case, Judge, Outcome, Said
from kitlib.faults.registry import DAMAGES
from kitlib.faults.subject import Bed
from kitlib.predict.predictor import FULL, IMAGES_DOUBTED, Predictor

SEED = "1"
DRAWN, UNTOUCHED = 2, 2
MOST_S, MOST_MB = 60.0, 1000.0  # per study, and in all: far above normal, far below a hang or a bomb

FAILING = {"every slice inverted"}  # of an axial series: patients' axial slices may be as bright
"""Damages that change rows unreported, or rows that they should not. To be emptied, and kept empty."""

LINES = tuple(f"cell_{number},0.5,0.3,0.2" for number in range(25))
OTHER_LINES = (LINES[0].replace("0.5", "0.4").replace("0.2", "0.3"), *LINES[1:])
WHOLE = Said(LINES, (FULL,) * 25, frozenset())


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("faults")
    bed = Bed.draw(folder / "phantoms", studies=len(DAMAGES) + UNTOUCHED, drawn=DRAWN, seed=5)
    judge = Judge.of(bed, Predictor.shipped(), folder)
    case = all_at_once([*bed.origins], [*DAMAGES.values()])
    return judge.judge(case, judge.damage(case, folder / "copy", SEED))


@pytest.fixture
def judge() -> Judge:
    """A judge of one predicted study, 7, whose images are those of study 1."""
    return Judge(Bed(Path(), {7: 1}, {}), Predictor({}, {}, None, None), {1: WHOLE})  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_submission_is_complete_and_other_studies_keep_their_bytes(judged: Outcome) -> None:
    assert (judged.error, judged.is_valid, judged.is_leaking) == ("", True, False)
    assert len(judged.case.others) == UNTOUCHED
    assert judged.changed == ()
    assert judged.seconds < MOST_S
    assert judged.grown_mb < MOST_MB


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_reported_or_does_no_harm(judged: Outcome, name: str) -> None:
    unreported = {judged.case.damages[study_id][0].name for study_id in judged.unreported}
    reason = "take it out of FAILING" if name in FAILING else "no word"
    assert (name in unreported) == (name in FAILING), reason


def test_what_fails_is_known() -> None:
    assert set(DAMAGES) >= FAILING


@pytest.mark.parametrize(
    ("name", "said", "is_reported"),
    [
        ("scouts", WHOLE, True),
        ("scouts", replace(WHOLE, lines=OTHER_LINES), False),
        ("scouts", replace(WHOLE, lines=OTHER_LINES, rungs=(IMAGES_DOUBTED,) * 25), True),
        ("scouts", replace(WHOLE, lines=OTHER_LINES, faults=frozenset({("slice.position", "")})), True),
        ("line twice", WHOLE, True),
        ("line twice", replace(WHOLE, lines=OTHER_LINES, faults=frozenset({("table.line", "")})), False),
    ],
)
def test_a_word_is_a_rung_or_a_row_and_harmless_damages_leave_rows(
    judge: Judge, name: str, said: Said, is_reported: bool
) -> None:
    assert judge._is_reported(Case(name, {7: (DAMAGES[name],)}, ()), 7, said) == is_reported


def test_what_was_said_of_whole_phantoms_is_no_word(judge: Judge) -> None:
    doubted = Said(LINES, (IMAGES_DOUBTED,) * 25, frozenset({("stack.gap", "")}))
    judge = replace(judge, reference={1: doubted})
    case = Case("scouts", {7: (DAMAGES["scouts"],)}, ())
    assert not judge._is_reported(case, 7, replace(doubted, lines=OTHER_LINES))


def test_untouched_rows_are_compared_by_their_bytes(judge: Judge) -> None:
    assert judge._is_same(7, WHOLE)
    assert not judge._is_same(7, replace(WHOLE, lines=(LINES[0] + "0", *LINES[1:])))


def test_an_error_of_the_whole_prediction_is_a_failure(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    outcome = judge.judge(Case("any", {7: (DAMAGES["scouts"],)}, ()), tmp_path / "copy")
    (failure, *_) = outcome.failures
    assert failure.startswith("ended: ")
    assert list(tmp_path.iterdir()) == []  # or the next case would find this copy


def test_failures_are_in_words() -> None:
    case = Case("any", {7: (DAMAGES["scouts"],)}, (8,))
    bad = Outcome(case, "", False, (8,), (7,), True, 0.0, 0.0)
    assert bad.failures == [
        "no valid submission",
        "rows of other studies changed",
        "not reported in 1 of 1",
        "planted text in the ledger",
    ]
    assert Outcome(case, "", True, (), (), False, 0.0, 0.0).failures == []
