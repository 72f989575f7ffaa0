"""A headless Chromium, driven through its DevTools protocol: see, click and type as a user would."""

import base64
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = (1280, 900), (390, 844)
KEYS = {"Tab": 9, "Enter": 13, "ArrowRight": 39}


class Browser:
    """One tab; `fetched` are the URLs that its page requested."""

    def __init__(self, executable: str, folder: Path) -> None:
        # --no-sandbox: tests may run as root, and the pages are our own.
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        self.process = subprocess.Popen(
            [executable, *flags, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._connect(folder / "DevToolsActivePort")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _connect(self, port_file: Path) -> None:
        from websocket import create_connection

        wait_until(lambda: port_file.is_file() and "\n" in port_file.read_text())
        port, path = port_file.read_text().split()
        self.socket = create_connection(f"ws://127.0.0.1:{port}{path}", timeout=60, suppress_origin=True)
        self.sent, self.session, self.fetched = 0, "", list[str]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one protocol command and return its result."""
        self.sent += 1
        session = {"sessionId": self.session} if self.session else {}
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters, **session}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("method") == "Network.requestWillBeSent":
                self.fetched.append(message["params"]["request"]["url"])
            if message.get("id") == self.sent:
                assert "error" not in message, message["error"]
                return message["result"]

    def open(self, address: str, size: tuple[int, int] = DESKTOP) -> None:
        """Load a page into a window of this size in pixels, and wait until it is loaded."""
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )
        self.fetched.clear()
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState == 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = 60) -> Any:
        """Wait until an expression is true and return its value."""
        return wait_until(lambda: self.evaluate(expression), timeout_s)

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press a key."""
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": modifiers}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def click(self, x: float, y: float) -> None:
        """Click at a position in the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """A screenshot of the window, or of the whole page, as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])

    def close(self) -> None:
        """Close the browser."""
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)


def wait_until(ready: Callable[[], Any], timeout_s: float = 60) -> Any:
    """Wait until `ready` returns a true value and return it; fails after a timeout."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := ready()):
        assert time.monotonic() < deadline_s, "it did not come to pass in time"
        time.sleep(0.1)
    return value
