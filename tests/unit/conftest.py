"""Fixtures of all unit tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from cachesvc.logs import CHATTY, NEVER_DEBUG


@pytest.fixture
def logging_put_back() -> Iterator[None]:
    """Undoes what a command that starts a process does to logging."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in (*CHATTY, *NEVER_DEBUG)}
    yield
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(capture=False)
