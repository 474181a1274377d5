"""A real browser that looks at pages: what it complains of, what axe finds, what it shows.

Chromium is the system's (Debian: ``apt-get install chromium``), or the one that CACHESVC_CHROMIUM
names; nothing is downloaded. Screenshots are kept in CACHESVC_SCREENSHOTS, ``.cache/screenshots``
without it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Response,
    expect,
    sync_playwright,
)

from tests.support.left_out import leave_out

ROOT = Path(__file__).parents[2]
WIDE, NARROW = 1280, 390
"""Widths in pixels."""
_HEIGHTS = {WIDE: 900, NARROW: 844}
_WAIT_MS = 30_000
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_ASSETS_S_MAX = 300
_FITS = "document.documentElement.scrollWidth <= window.innerWidth"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. While it is there, its thread has an event loop: use asyncio in others."""
    named = os.environ.get("CACHESVC_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        leave_out("no chromium here; the package chromium has it")
    expect.set_options(timeout=_WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass(slots=True)
class Window:
    """A window of the browser, with a cookie jar of its own.

    Attributes:
        page: Playwright's.
        site: Where pages are: ``http://HOST:PORT``.
        complaints: What the browser found wrong: errors in the console, scripts that failed,
            answers beyond 499.
    """

    page: Page
    site: str
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Goes to a page of the site."""
        self.page.goto(f"{self.site}{path}")
        return self.page

    def press(self, name: str) -> None:
        """Presses a button."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def is_told(self, text: str) -> None:
        """Fails unless the page tells that something was done."""
        expect(self.page.get_by_role("status").filter(has_text=text)).to_be_visible()

    def expect_refused(self) -> None:
        """Forgets that the browser was told of a form that was refused; fails if of anything else.

        The console has the status of every answer beyond 399.
        """
        found = [each for each in self.complaints if " 400 " not in each and " 409 " not in each]
        assert not found, found
        self.complaints.clear()

    def check(self) -> None:
        """Fails if the browser complained, or axe finds something, or the page is too wide."""
        found = [*self.complaints, *violations(self.page)]
        if not self._fits():
            needed = self.page.evaluate("document.documentElement.scrollWidth")
            found.append(f"{self.page.url} is {needed} pixels wide")
        assert not found, "\n".join(found)

    def check_all(self, name: str) -> None:
        """Keeps what the page shows at both widths and in both colour schemes, and checks it.

        Each width and each scheme is checked once: axe takes a second.
        """
        for width, scheme in product((WIDE, NARROW), ("light", "dark")):
            self._look(width, scheme)
            path = _screenshots() / f"{name}-{width}-{scheme}.png"
            self.page.screenshot(path=path, full_page=True, animations="disabled")
            if (width == WIDE) == (scheme == "light"):
                self.check()
        self._look(WIDE, "light")

    def _look(self, width: int, scheme: Any) -> None:
        self.page.set_viewport_size({"width": width, "height": _HEIGHTS[width]})
        self.page.emulate_media(color_scheme=scheme)
        self._fits()

    def _fits(self) -> bool:
        """Waits until the page is as wide as the window: charts are drawn anew a moment later."""
        limit_s = time.monotonic() + _WAIT_MS / 1_000
        # Not by wait_for_function, which evaluates a text in a way that the page's policy forbids.
        while not (fits := bool(self.page.evaluate(_FITS))) and time.monotonic() < limit_s:
            self.page.wait_for_timeout(50)
        return fits


@contextmanager
def window(browser: Browser, site: str) -> Iterator[Window]:
    """A window in which nobody has signed in."""
    context = browser.new_context(
        viewport={"width": WIDE, "height": _HEIGHTS[WIDE]}, reduced_motion="reduce"
    )
    context.set_default_timeout(_WAIT_MS)
    found = Window(context.new_page(), site)

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.complaints.append(f"{found.page.url}: {message.text}")

    def response(answer: Response) -> None:
        if answer.status >= 500:
            found.complaints.append(f"{answer.url}: {answer.status}")

    found.page.on("console", console)
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("response", response)
    try:
        yield found
    finally:
        context.close()


def sign_in(opened: Window, token: str) -> None:
    """Signs in, from whatever page is shown."""
    opened.open("/sign-in")
    opened.page.get_by_label("Token or JWT").fill(token)
    opened.page.get_by_role("button", name="Sign in").click()
    opened.page.get_by_role("button", name="Sign out").wait_for()


def violations(page: Page) -> list[str]:
    """What axe finds wrong with a page: the rule, and where."""
    # Not by a script element, which the page's own policy forbids.
    page.evaluate(_axe())
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    return [
        f"{page.url}: {each['id']}: {each['help']}: {node['target']} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


@cache
def _axe() -> str:
    if shutil.which("npm") is None:
        leave_out("no npm here, which brings axe-core")
    done = subprocess.run(
        [ROOT / "scripts" / "assets", "--check"],
        capture_output=True,
        text=True,
        timeout=_ASSETS_S_MAX,
    )
    assert done.returncode == 0, done.stderr
    return (ROOT / ".cache/assets/node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def _screenshots() -> Path:
    path = Path(os.environ.get("CACHESVC_SCREENSHOTS", ROOT / ".cache" / "screenshots"))
    path.mkdir(parents=True, exist_ok=True)
    return path
