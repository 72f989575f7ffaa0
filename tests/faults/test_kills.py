"""A killed command leaves nothing half-written, and produces the same bytes when restarted."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from kitlib.competition.submission import to_rows, write_submission
from kitlib.errors import StepError
from kitlib.faults import kills
from kitlib.faults.kills import KILLED, KILLED_THERE, NO_ROOM, Job, endings, predicting, running
from kitlib.faults.subject import SAMPLE

GOOD = 'sleep 0.2; cp "{whole}" "$6/.draft" && mv "$6/.draft" "$6/rows.csv"'
HALF = 'head -c 100 "{whole}" > "$6/rows.csv"; sleep 0.2; cp "{whole}" "$6/rows.csv"'
FAILING = "exit 3"


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A command that copies a submission, instead of `python -W ignore -m kitlib`."""
    rows = to_rows([7], np.full((1, 25, 3), 1 / 3))
    write_submission(tmp_path / "data" / SAMPLE, rows)
    monkeypatch.setattr(kills, "SETTLE_S", 0)
    return Job("copy", lambda folder: ["copy", str(folder)], "rows.csv", tmp_path / "data")


def program(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "program"
    script.write_text("#!/bin/sh\n" + text.format(whole=tmp_path / "data" / SAMPLE) + "\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))


def test_what_is_written_whole_or_not_at_all_is_passed(job, tmp_path, monkeypatch):
    program(GOOD, tmp_path, monkeypatch)
    found = list(endings(job, 3, 1, tmp_path / "ends"))
    assert [one.fault for one in found] == [KILLED, NO_ROOM, KILLED_THERE] * 3
    assert all(one.is_whole and one.is_same for one in found)
    assert [one.is_said for one in found if one.fault != NO_ROOM] == [True] * 6


def test_a_half_submission_is_found_out(job, tmp_path, monkeypatch):
    program(HALF, tmp_path, monkeypatch)
    found = list(endings(job, 3, 1, tmp_path / "ends"))
    assert not all(one.is_whole for one in found if one.fault == KILLED)
    assert all(one.is_same for one in found)


def test_other_bytes_after_a_kill_are_found_out(job, tmp_path, monkeypatch):
    again = '[ -e "$6/seen" ] && echo 1 > "$6/rows.csv" && exit 0; touch "$6/seen"; '
    program(again + GOOD, tmp_path, monkeypatch)
    found = list(endings(job, 2, 1, tmp_path / "ends"))
    assert not any(one.is_same for one in found if one.fault == KILLED)


def test_lack_of_room_has_to_be_said_in_a_line(job, tmp_path, monkeypatch):
    silent = 'touch "$6/rows.csv"; trap "" XFSZ; cat "{whole}" > "$6/.draft" 2> /dev/null || exit 1; ' + GOOD
    program(silent, tmp_path, monkeypatch)
    monkeypatch.setattr(kills, "ROOM_BYTES", (256, 257))
    found = [one for one in endings(job, 1, 1, tmp_path / "ends") if one.fault == NO_ROOM]
    assert [one.is_said for one in found] == [False]


def test_each_process_of_a_command_dies_of_the_write_that_finds_no_room(job, tmp_path, monkeypatch):
    write = f"import pathlib; pathlib.Path('{tmp_path}/large').write_bytes(bytes(9999))"
    each = "".join(
        f'{sys.executable} {how} "{write}"; echo $? >> {tmp_path}/codes; ' for how in ("-S -c", "-c")
    )
    program(each + GOOD, tmp_path, monkeypatch)
    monkeypatch.setattr(kills, "ROOM_BYTES", (4096, 4097))
    ended = [one for one in endings(job, 1, 1, tmp_path / "ends") if one.fault == KILLED_THERE]
    assert [one.is_same for one in ended] == [True]
    whole, limited, there = slice(0, 2), slice(-8, -6), slice(-4, -2)  # two trials, each then rerun
    codes = (tmp_path / "codes").read_text().split()
    assert codes[whole] == ["0", "0"]
    assert codes[limited] == ["1", "1"]  # Python raises an error instead
    assert codes[there] == ["1", str(128 + signal.SIGXFSZ)]


def test_a_command_that_fails_by_itself_is_an_error(job, tmp_path, monkeypatch):
    program(FAILING, tmp_path, monkeypatch)
    with pytest.raises(StepError, match="exit code 3"):
        next(endings(job, 1, 1, tmp_path / "ends"))


def test_the_commands_are_those_of_the_kit(tmp_path):
    from kitlib.cli import build_parser

    for job in (predicting(tmp_path), running(tmp_path)):
        build_parser().parse_args([*job.arguments(tmp_path / "here")])
        assert Path(job.out).suffix == ".csv"
