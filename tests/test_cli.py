import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kitlib.cli import ADDED, build_parser, main
from kitlib.competition.submission import write_submission
from kitlib.competition.tables import read_predictions
from tests.run.builders import make_competition


@pytest.fixture
def data(tmp_path):
    return make_competition(tmp_path / "data")


@pytest.fixture
def submission(data, tmp_path):
    write_submission(tmp_path / "submission.csv", read_predictions(data / "sample_submission.csv"))
    return tmp_path / "submission.csv"


def test_help_needs_no_heavy_library():
    code = (
        "import sys, kitlib.cli as c; c.build_parser(); print({'torch', 'numpy', 'pandas'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_help_names_every_command_and_what_it_does():
    (commands,) = (action for action in build_parser()._actions if action.metavar == "COMMAND")
    assert len(commands.choices) == len(ADDED)
    for name in {*commands.choices} - {"phantom"}:  # the old spelling of `phantoms`
        assert re.search(rf"^ +{name}\s+\w", build_parser().format_help(), flags=re.MULTILINE), name


def leaves(parser):
    """The parsers of commands without sub-commands, and of those whose sub-command is optional."""
    families = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for family in families:
        for child in family.choices.values():
            yield from leaves(child)
    if not any(family.required for family in families):
        yield parser


def test_the_help_of_each_command_ends_with_an_example_that_it_understands():
    parsers = [parser for parser in leaves(build_parser()) if not parser.prog.endswith(" phantom")]
    assert len(parsers) > len(ADDED)
    for parser in parsers:
        start, example = parser.epilog.split(": ", 1)
        assert start == "example"
        assert example.startswith(f"{parser.prog} ")
        _, _, _, *words = shlex.split(example)
        assert build_parser().parse_args(words).call == parser.get_default("call")


def test_each_option_has_a_help():
    parsers = [parser for parser in leaves(build_parser()) if not parser.prog.endswith(" phantom")]
    actions = [(parser.prog, action) for parser in parsers for action in parser._actions]
    assert [(prog, one.dest) for prog, one in actions if one.option_strings and not one.help] == []


def test_an_error_of_the_kit_is_one_line_and_exit_code_2(data, submission, capsys):
    submission.write_text(submission.read_text().rsplit("\n", 2)[0])
    assert main(["validate", str(submission), "--data", str(data)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("[data.submission] ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["weights", "quantise", "OUT", "--backbone", "test_resnet", "--weights", "random"],
        ["weights", "train", "--backbone", "test_resnet", "--studies", "2", "--epochs", "1", "--out", "OUT"],
    ],
    ids=lambda command: command[1],
)
def test_a_place_that_cannot_be_written_is_one_line_before_any_work(command, tmp_path, capsys):
    (tmp_path / "a file").touch()
    out = tmp_path / "a file" / "x.safetensors"
    assert main([str(out) if word == "OUT" else word for word in command]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("[system] ")
    assert captured.err.count("\n") == 1
    assert str(tmp_path / "a file") in captured.err


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_reads_ends_a_command_without_a_word(data, submission, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "kitlib", "validate", str(submission), "--data", str(data)]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    home = Path(__file__).parents[1]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=home, env=environment)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_name_that_is_no_text_can_be_printed(tmp_path, capsys):
    out = tmp_path / os.fsdecode(b"\xff.csv")
    assert main(["validate", str(out), "--data", str(tmp_path)]) == 2
    print(out)  # by a strict terminal, which main reconfigures
    assert "\\udcff.csv" in capsys.readouterr().out


def test_an_interrupt_has_its_own_exit_code_and_a_bug_its_traceback(data, monkeypatch):
    def raising(error):
        def validate(*_):
            raise error

        monkeypatch.setattr("kitlib.competition.submission.validate_submission", validate)
        return main(["validate", "x.csv", "--data", str(data)])

    assert raising(KeyboardInterrupt()) == 130
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())


@pytest.mark.parametrize("closed", [(1,), (0, 1, 2)])
def test_a_command_that_is_started_without_streams_ends_as_with_them(data, submission, closed):
    redirected = " ".join(f"{number}>&-" for number in closed)
    words = [sys.executable, "-W", "ignore", "-m", "kitlib", "validate", str(submission), "--data", str(data)]
    done = subprocess.run(["sh", "-c", f'"$@" {redirected}', "sh", *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("valid") == (1 not in closed)
