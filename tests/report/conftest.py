"""A real browser for the pages and the viewer."""

import shutil
from collections.abc import Iterator

import pytest

from tests.browser import NAMES, Browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; tests that need it are skipped without one."""
    pytest.importorskip(
        "websocket", reason="no websocket-client, which comes with Jupyter, to talk to Chromium"
    )
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    opened = Browser(executable, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()
