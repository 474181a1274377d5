"""A browser for the tests of a file, which look at its ``stage``: that has a ``service``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Window, chromium, sign_in, window
from tests.support.guarded_service import OF_FILE, GuardedService


@dataclass(frozen=True, slots=True)
class Stage:
    """What all tests of a file look at.

    Attributes:
        service: With access control.
    """

    service: GuardedService


@pytest.fixture(scope="module")
def browser(stage: Stage) -> Iterator[Browser]:
    """It begins behind the stage, which uses asyncio in this thread."""
    with chromium() as found:
        yield found


@pytest.fixture
def opened(stage: Stage, browser: Browser) -> Iterator[Window]:
    """A window in which ``ops`` has signed in."""
    with window(browser, stage.service.web) as found:
        sign_in(found, OF_FILE)
        yield found
