"""Run one notebook with papermill, and check for failures that papermill reports as success."""

import contextlib
import json
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from kitlib.artefacts import atomic_write, naming
from kitlib.errors import StepError
from kitlib.machine import THREAD_VARIABLES, environment

KERNEL = "python3"
KERNEL_ENVIRONMENT = {
    **dict.fromkeys(THREAD_VARIABLES, "1"),
    "OMP_WAIT_POLICY": "PASSIVE",
    # Otherwise each kernel of Python 3.11 or later warns that frozen modules hide breakpoints.
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
START_TIMEOUT_S = 120
# By default nbclient waits 4 s for a cell's last outputs, too short on a busy machine.
IOPUB_TIMEOUT_S = 120
PARAMETERS_TAG = "parameters"
# IPython turns `!command`, `x = !command`, `%sx` and `%%bash` into these calls; none reliably fails the cell.
SHELL_CALLS = re.compile(
    r"get_ipython\(\)\.(system|getoutput|run_line_magic\('(system|sx|!)'|run_cell_magic\('(bash|sh|script|system|sx|!)')"
)


@contextlib.contextmanager
def own_kernel() -> Iterator[None]:
    """Make the kernel name "python3" mean this interpreter, whatever is registered or configured for it.

    The user's own startup files and settings for Python, IPython and Jupyter do not affect a run.
    """
    # ipykernel 7 warns that its local connection is unencrypted, and logs its own shutdown as an error.
    launch = ["-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"]
    with tempfile.TemporaryDirectory(prefix="kitlib-") as folder:
        spec = {
            "argv": [sys.executable, *launch],
            "display_name": "Python 3",
            "language": "python",
            "env": _kernel_environment(Path(folder)),
        }
        kernel_dir = Path(folder) / "kernels" / KERNEL
        kernel_dir.mkdir(parents=True)
        (kernel_dir / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        with environment(
            JUPYTER_PATH=_before(folder, "JUPYTER_PATH"),
            JUPYTER_CONFIG_DIR=f"{folder}/config",
            JUPYTER_RUNTIME_DIR=f"{folder}/runtime",  # by default in the home folder, which may be read-only
            JUPYTER_PLATFORM_DIRS="1",  # otherwise jupyter_core warns that its folders will move
        ):
            yield


def _kernel_environment(folder: Path) -> dict[str, str]:
    """Changes to the environment: threads, an empty IPython profile, and no user startup files."""
    (folder / "usercustomize.py").touch()  # found before the user's own
    return {
        **{name: os.environ.get(name, value) for name, value in KERNEL_ENVIRONMENT.items()},
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONSTARTUP": "",
        "PYTHONPATH": _before(str(folder), "PYTHONPATH"),
    }


def _before(folder: str, variable: str) -> str:
    """The search path of an environment variable, with a folder put first."""
    return os.pathsep.join(filter(None, (folder, os.environ.get(variable))))


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook to run unattended; raises StepError if its failures could go unnoticed."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        notebook = nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise StepError(
            "the notebook is missing", where=path, hint="Restore it from the repository."
        ) from None
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise StepError(f"this is no notebook: {error}", where=path) from error
    if not notebook.metadata.get("kernelspec", {}).get("name"):
        raise StepError("the notebook names no kernel, and Kaggle needs one to start it", where=path)
    if not any(PARAMETERS_TAG in cell.metadata.get("tags", []) for cell in notebook.cells):
        raise StepError(
            f"no cell is tagged {PARAMETERS_TAG!r}, so profile and folders cannot be set", where=path
        )
    transformed = TransformerManager().transform_cell
    for number, cell in _code_cells(notebook):
        if SHELL_CALLS.search(transformed(cell.source)):
            raise StepError(
                f"cell {number} calls a shell, whose failure would go unnoticed",
                where=path,
                hint="Use subprocess.run(..., check=True).",
            )
    return notebook


def execute(
    source: Path, executed: Path, parameters: dict[str, Any], *, folder: Path, cell_timeout_s: float
) -> None:
    """Run a notebook in `folder` and save it to `executed`; raises StepError unless every cell succeeds.

    A notebook that fails is saved next to it as `<name>.failed.ipynb` for inspection.
    """
    for text in (str(source), str(executed), *map(str, parameters.values())):
        _refuse_unnameable(text)
    draft = executed.parent / ".running" / executed.name
    failed = executed.with_suffix(".failed.ipynb")
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(executed):
            _run(source, draft, parameters, folder, cell_timeout_s)
        _check(nbformat.read(draft, as_version=4), failed)
    except BaseException:
        _move(draft, failed)
        raise
    _move(draft, executed)
    failed.unlink(missing_ok=True)


def _run(source: Path, draft: Path, parameters: dict[str, Any], folder: Path, cell_timeout_s: float) -> None:
    """Execute with papermill; retry once if the kernel does not start."""
    import papermill
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    # Overrides are not in the parameters cell; their names have been checked, so papermill need not warn.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    failed = draft.parents[1] / f"{source.stem}.failed.ipynb"
    for last_try in (False, True):
        try:
            with warnings.catch_warnings():
                # papermill 2.6 calls datetime.utcnow, deprecated since Python 3.12.
                warnings.filterwarnings("ignore", category=DeprecationWarning, module="papermill")
                papermill.execute_notebook(
                    _literal(source), _literal(draft), parameters, cwd=folder, kernel_name=KERNEL,
                    progress_bar=False, start_timeout=START_TIMEOUT_S, execution_timeout=int(cell_timeout_s),
                    iopub_timeout=IOPUB_TIMEOUT_S, force_raise_errors=True,
                )  # fmt: skip
            return
        except (papermill.PapermillExecutionError, CellExecutionError) as error:
            # Ctrl-C also reaches the kernel, whose cell then fails: not an error of the notebook.
            if error.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt from None
            raise StepError(f"a cell failed: {error.ename}: {error.evalue}", where=failed) from None
        except CellTimeoutError:
            raise StepError(
                f"a cell ran longer than {cell_timeout_s:.0f} s",
                where=failed,
                hint="Allow more with -p cell_timeout_s=SECONDS.",
            ) from None
        except DeadKernelError:
            raise StepError(
                "the kernel was killed, usually because memory ran out",
                where=failed,
                hint="Try -p embed_batch=8 and -p workers=1, or a smaller profile.",
            ) from None
        except RuntimeError as error:  # the kernel did not start or did not answer
            if last_try:
                raise StepError(f"no kernel started: {error}", where=source) from error


def _refuse_unnameable(text: str) -> None:
    """Raise StepError on text that is not valid UTF-8, such as some paths: notebooks are UTF-8 files."""
    shown = text.encode(errors="replace").decode()
    if shown != text:
        raise StepError("a notebook cannot name this: it is not UTF-8", where=shown, hint="Rename it.")


def _literal(path: Path) -> str:
    """A path with its braces escaped, so that papermill does not fill them in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _check(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Raise StepError if a cell did not run, as after sys.exit(0), or ended in an error."""
    for number, cell in _code_cells(notebook):
        if errors := [output.ename for output in cell.outputs if output.output_type == "error"]:
            raise StepError(f"cell {number} ended the notebook with {errors[0]}", where=path)
        if cell.execution_count is None:
            raise StepError(f"cell {number} was never run", where=path)


def _code_cells(notebook: nbformat.NotebookNode) -> list[tuple[int, nbformat.NotebookNode]]:
    return [
        (number, cell)
        for number, cell in enumerate(notebook.cells, start=1)
        if cell.cell_type == "code" and cell.source.strip()
    ]


def _move(draft: Path, path: Path) -> None:
    if draft.is_file():
        with atomic_write(path) as whole:
            draft.replace(whole)
