"""A real browser that does with a page what a test tells it (`tests/e2e/browser/drive.js`)."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from tests.support.browser import program

if TYPE_CHECKING:
    from collections.abc import Iterator


class Browser:
    """A browser with one page at a time."""

    def __init__(self, process: subprocess.Popen[str], said: IO[str]) -> None:
        self._process = process
        self._said = said

    def open(self, url: str, **how: Any) -> None:
        """Open a page in place of the one before; `width`, `height` in CSS pixels, `scheme` dark or light."""
        self._ask({"open": url, **how})

    def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression gives in the page."""
        return self._ask({"evaluate": expression})

    def until(self, expression: str, seconds: float = 20) -> None:
        """Wait until a JavaScript expression is true in the page."""
        self._ask({"until": expression, "seconds": seconds})

    def press(self, key: str) -> None:
        """Press a key, by its name in Playwright (`Space`, `ArrowLeft`, `m`)."""
        self._ask({"press": key})

    def click(self, selector: str) -> None:
        """Click the element that a CSS selector names."""
        self._ask({"click": selector})

    def select(self, selector: str, label: str) -> None:
        """Choose an entry of a menu by its text."""
        self._ask({"select": selector, "label": label})

    def picture(self, path: Path) -> None:
        """Write a PNG of what is seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._ask({"picture": str(path)})

    def axe(self) -> list[str]:
        """Return what axe-core finds serious or critical."""
        return list(self._ask({"axe": True}))

    def seen(self) -> dict[str, Any]:
        """Return `violations` of its policy, `errors` of its console, URLs `asked` for, ended `requests`."""
        return dict(self._ask({"seen": True}))

    def _ask(self, command: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            raise AssertionError(f"no browser: {self._said.read()}")
        answer = json.loads(line)
        assert "error" not in answer, f"{command}: {answer['error']}"
        return answer["value"]


@contextmanager
def browsing() -> Iterator[Browser]:
    """Give a browser, and end it."""
    with (
        TemporaryFile("w+") as said,
        subprocess.Popen(
            program("drive.js"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        try:
            yield Browser(process, said)
        finally:
            try:
                process.communicate(timeout=20)  # the end of its input is its end
            except subprocess.TimeoutExpired:
                process.kill()
