"""Fixtures of the tests of serving."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.unit.serving.guarded import VALID_S


@pytest.fixture
def expire(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sets the clock forward by ``VALID_S``, at which streams look at short intervals."""
    now = time.time
    monkeypatch.setattr("cachesvc.serving.authorizing._EXPIRY_LOOKS_S_MAX", 0.05)
    return lambda: monkeypatch.setattr(time, "time", lambda: now() + VALID_S)
