"""Damage a copy of the phantoms, predict it, and compare the result with that of the intact phantoms."""

import contextlib
import io
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from kitlib.competition.root import Competition
from kitlib.competition.submission import validate_submission
from kitlib.errors import KitError
from kitlib.faults.kinds.tags import PLANTED
from kitlib.faults.registry import Damage
from kitlib.faults.subject import Bed
from kitlib.machine import peak_memory_mb, reset_peak_memory
from kitlib.predict.predictor import FULL, Predictor
from kitlib.predict.stream import Result, predict_competition
from kitlib.terms import parse_row_id

UNCHANGED = 2e-3
"""Probabilities that differ by less count as unchanged.

A position rounded at its ninth decimal may change a grey value of a view.
"""
OUT = "submission.csv"


@dataclass(frozen=True)
class Case:
    """One test case: the damages of each damaged study, and the undamaged studies in the same copy."""

    name: str
    damages: Mapping[int, tuple[Damage, ...]]
    others: tuple[int, ...]

    @property
    def studies(self) -> list[int]:
        """All studies of the copy."""
        return [*self.damages, *self.others]


@dataclass(frozen=True)
class Said:
    """The output for one study."""

    lines: tuple[str, ...]  # submission rows, without the study's number
    rungs: tuple[str, ...]
    faults: frozenset[tuple[str, str]]  # code and detail

    @cached_property
    def values(self) -> np.ndarray:
        """The probabilities, (25, 3)."""
        return np.array([line.split(",")[1:] for line in self.lines], float)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case."""

    case: Case
    error: str  # "" if prediction completed
    is_valid: bool  # the submission has exactly the rows it should have
    changed: tuple[int, ...]  # undamaged studies whose rows are not byte-identical
    unreported: tuple[int, ...]  # damaged studies whose rows may be wrong and that nothing reports
    is_leaking: bool  # the planted name is in the ledger
    seconds: float  # of the slowest study
    grown_mb: float

    @property
    def failures(self) -> list[str]:
        """What is wrong, as text; empty if the case passed."""
        what = {
            self.error or "": bool(self.error),
            "no valid submission": not self.is_valid,
            "rows of other studies changed": bool(self.changed),
            f"not reported in {len(self.unreported)} of {len(self.case.damages)}": bool(self.unreported),
            "planted text in the ledger": self.is_leaking,
        }
        return [text for text, is_so in what.items() if is_so]


def said_of(out: Path, result: Result) -> dict[int, Said]:
    """Collect the output for each study, by study_id."""
    lines: dict[int, list[str]] = {}
    for line in out.read_text(encoding="utf-8").splitlines()[1:]:
        study, _, rest = line.partition("_")
        lines.setdefault(int(study), []).append(rest)
    rungs: dict[int, list[str]] = {}
    for row, rung in result.predictions["rung"].sort_index().items():
        rungs.setdefault(parse_row_id(str(row))[0], []).append(rung)
    faults: dict[int, set[tuple[str, str]]] = {}
    for fault in result.ledger:
        if fault.study_id is not None:
            faults.setdefault(fault.study_id, set()).add((fault.code, fault.detail))
    return {
        number: Said(tuple(own), tuple(rungs[number]), frozenset(faults.get(number, ())))
        for number, own in lines.items()
    }


@dataclass(frozen=True)
class Judge:
    """Judges cases against the intact phantoms, with their reference output and the predictor under test."""

    bed: Bed
    predictor: Predictor
    reference: Mapping[int, Said]  # by drawn study

    @classmethod
    def of(cls, bed: Bed, predictor: Predictor, folder: Path) -> "Judge":
        """Predict an intact copy of the drawn phantoms as the reference."""
        result = _predicted(predictor, bed.copy(folder / "whole", [*bed.series]), folder / OUT)
        return cls(bed, predictor, said_of(folder / OUT, result))

    def damage(self, case: Case, root: Path, seed: str) -> Path:
        """Copy the phantoms and damage them according to the case."""
        self.bed.copy(root, case.studies)
        for study_id, damages in case.damages.items():
            for one in damages:
                # One of several damages may have removed what the next would change.
                with contextlib.suppress(*((Exception,) if len(damages) > 1 else ())):
                    one.change(self.bed.subject(root, study_id, f"{seed} {one.name}"))
        return root

    def judge(self, case: Case, root: Path) -> Outcome:
        """Predict a damaged copy and compare the output with the reference; deletes the copy."""
        out = root.with_name(f"{root.name}.csv")
        try:
            return self._judged(case, root, out)
        except Exception as error:
            what = error.what if isinstance(error, KitError) else type(error).__name__
            return Outcome(case, f"ended: {what}", False, (), (), False, 0.0, 0.0)
        finally:
            shutil.rmtree(root, ignore_errors=True)
            out.unlink(missing_ok=True)

    def _judged(self, case: Case, root: Path, out: Path) -> Outcome:
        reset_peak_memory()
        before_mb = peak_memory_mb()
        result = _predicted(self.predictor, root, out)
        said = said_of(out, result)
        return Outcome(
            case,
            "",
            _is_valid(out, root, case.studies),
            tuple(number for number in case.others if not self._is_same(number, said[number])),
            tuple(number for number in case.damages if not self._is_reported(case, number, said[number])),
            PLANTED in result.ledger.table().to_csv(),
            float(result.seconds.max()),
            peak_memory_mb() - before_mb,
        )

    def _is_same(self, study_id: int, said: Said) -> bool:
        return said.lines == self._whole(study_id).lines

    def _is_reported(self, case: Case, study_id: int, said: Said) -> bool:
        """Whether a damaged study has unchanged rows or, unless all its damages are harmless, a report."""
        whole = self._whole(study_id)
        if np.abs(said.values - whole.values).max() < UNCHANGED:
            return True
        if all(one.is_harmless for one in case.damages[study_id]):
            return False
        is_lower = said.rungs != whole.rungs and set(said.rungs) != {FULL}
        return is_lower or bool(said.faults - whole.faults)

    def _whole(self, study_id: int) -> Said:
        return self.reference[self.bed.origins[study_id]]


def _predicted(predictor: Predictor, root: Path, out: Path) -> Result:
    with contextlib.redirect_stderr(io.StringIO()):  # hide its progress bar
        return predict_competition(predictor, Competition(root), out=out)


def _is_valid(out: Path, root: Path, studies: Collection[int]) -> bool:
    """Whether the submission is valid for the folder's studies, and these include all of `studies`."""
    wanted = Competition(root).test_study_ids()
    try:
        validate_submission(out, wanted)
    except KitError:
        return False
    return set(studies) <= set(wanted)
