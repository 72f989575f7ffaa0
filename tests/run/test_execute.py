import os

import nbformat
import pytest

from kitlib.errors import StepError
from kitlib.run.execute import execute, own_kernel, read_notebook
from tests.run.builders import make_notebook, write_notebook


@pytest.fixture
def run_notebook(tmp_path):
    def run(*sources, parameters=None, cell_timeout_s=60.0):
        source = write_notebook(tmp_path, "01_eda", make_notebook(*sources))
        executed = tmp_path / "executed" / "01_eda.ipynb"
        with own_kernel():
            execute(source, executed, parameters or {}, folder=tmp_path, cell_timeout_s=cell_timeout_s)
        return executed

    return run


@pytest.mark.parametrize(
    "source",
    ["!false", "files = !ls", "%%bash\nexit 1", "%sx ls", "if True:\n    !ls", "%system ls", "x = %sx ls"],
)
def test_a_notebook_that_calls_a_shell_is_refused(tmp_path, source):
    path = write_notebook(tmp_path, "01_eda", make_notebook("a = 1", source))
    with pytest.raises(StepError, match="cell 3 calls a shell"):
        read_notebook(path)


def test_other_magics_and_exclamation_marks_are_welcome(tmp_path):
    cells = ["%matplotlib inline", "assert 1 != 2", "text = 'hello!'", "# !ls"]
    notebook = read_notebook(write_notebook(tmp_path, "01_eda", make_notebook(*cells)))
    assert [cell.source for cell in notebook.cells][-len(cells) :] == cells


def test_a_notebook_without_parameters_kernel_or_content_is_refused(tmp_path):
    with pytest.raises(StepError, match="no cell is tagged 'parameters'"):
        read_notebook(write_notebook(tmp_path, "01_eda", make_notebook(tag="parameter")))
    with pytest.raises(StepError, match="missing"):
        read_notebook(tmp_path / "nowhere.ipynb")
    kernelless = make_notebook("a = 1")
    del kernelless.metadata["kernelspec"]
    with pytest.raises(StepError, match="names no kernel"):
        read_notebook(write_notebook(tmp_path, "01_eda", kernelless))
    (tmp_path / "cut.ipynb").write_text('{"cells": [')
    with pytest.raises(StepError, match="no notebook"):
        read_notebook(tmp_path / "cut.ipynb")


def test_the_kernel_is_this_interpreter_whatever_is_registered(run_notebook, tmp_path, monkeypatch):
    registered = tmp_path / "jupyter" / "kernels" / "python3"
    registered.mkdir(parents=True)
    (registered / "kernel.json").write_text(
        '{"argv": ["/nowhere/python"], "display_name": "x", "language": "python"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    executed = run_notebook("import sys\nprint(sys.prefix, profile)", parameters={"profile": "demo"})
    import sys

    output = nbformat.read(executed, as_version=4).cells[-1].outputs[0].text
    assert output == f"{sys.prefix} demo\n"
    assert sorted(path.name for path in executed.parent.iterdir()) == [".running", "01_eda.ipynb"]


def test_what_a_user_has_sessions_start_with_reaches_into_no_run(run_notebook, tmp_path, monkeypatch):
    profile = tmp_path / ".ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "00-mine.py").write_text("of_startup = 1\n")
    config = "get_config().InteractiveShellApp.exec_lines = ['of_config = 1']\n"
    (profile / "ipython_config.py").write_text(config)
    (tmp_path / ".jupyter").mkdir()
    (tmp_path / ".jupyter" / "jupyter_config.py").write_text("1 / 0\n")
    (tmp_path / "usercustomize.py").write_text("import builtins\nbuiltins.of_site = 1\n")
    (tmp_path / "python.py").write_text("of_python = 1\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "python.py"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # for usercustomize, outside virtual environments
    monkeypatch.delenv("IPYTHONDIR", raising=False)
    found = "[name for name in (*globals(), *dir(builtins)) if name.startswith('of_')]"
    executed = run_notebook("import usercustomize, builtins", f"print({found})")
    assert nbformat.read(executed, as_version=4).cells[-1].outputs[0].text == "[]\n"


def test_braces_and_quotes_are_letters_of_a_path_like_others(tmp_path):
    folder = tmp_path / "{profile} a{b '\"\n"
    folder.mkdir()
    source = write_notebook(folder, "01_eda", make_notebook("a = profile"))
    with own_kernel():
        execute(source, folder / "out.ipynb", {"profile": "x"}, folder=folder, cell_timeout_s=60)
    assert (folder / "out.ipynb").is_file()


def test_a_path_that_is_no_text_is_refused_before_the_notebook_is_run(tmp_path):
    folder = os.fsdecode(b"/\xff")
    source = write_notebook(tmp_path, "01_eda", make_notebook("a = 1"))
    with pytest.raises(StepError, match=r"not UTF-8 \(/\?\)"):
        execute(source, tmp_path / "x", {"data_dir": folder}, folder=tmp_path, cell_timeout_s=60)
    assert list(tmp_path.rglob("x*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(0)", "cell 2 ended the notebook with SystemExit"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "kernel was killed"),
        ("import time; time.sleep(60)", "longer than 2 s"),
    ],
)
def test_every_early_end_is_an_error_that_leaves_the_notebook_to_look_at(
    run_notebook, tmp_path, source, message
):
    with pytest.raises(StepError, match=message):
        run_notebook(source, "after = 1", cell_timeout_s=2.0)
    assert [path.name for path in tmp_path.glob("executed/*.ipynb")] == ["01_eda.failed.ipynb"]


def test_an_interrupted_cell_is_an_interrupt_and_no_fault_of_the_notebook(run_notebook):
    with pytest.raises(KeyboardInterrupt):
        run_notebook("import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(5)")


def test_a_cell_that_may_fail_fails_the_notebook_all_the_same(tmp_path):
    notebook = make_notebook("1 / 0", "after = 1")
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    source = write_notebook(tmp_path, "01_eda", notebook)
    with own_kernel(), pytest.raises(StepError, match="ZeroDivisionError"):
        execute(source, tmp_path / "out.ipynb", {}, folder=tmp_path, cell_timeout_s=60)


def test_a_kernel_that_does_not_start_is_tried_again(run_notebook, monkeypatch):
    import papermill

    started = []

    def broken(*arguments, **keywords):
        started.append(1)
        if len(started) == 1:
            raise RuntimeError("Kernel didn't respond in 60 seconds")
        return original(*arguments, **keywords)

    original = papermill.execute_notebook
    monkeypatch.setattr(papermill, "execute_notebook", broken)
    assert run_notebook("a = 1").is_file()
    assert len(started) == 2
