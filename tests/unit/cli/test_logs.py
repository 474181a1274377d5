"""`cachesvc.logs`, which the commands that start a process configure."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Literal

import pytest

from cachesvc.logs import configure_logging
from cachesvc.settings.config import LogConfig

_log = logging.getLogger("cachesvc.test")


pytestmark = pytest.mark.usefixtures("logging_put_back")


def configured(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["text", "json"] = "text",
) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LogConfig(level=level, format=form), stream)
    return stream


def test_text() -> None:
    stream = configured()
    fields = {"topic": "orders", "error": "two words\n", "event": "journal_sealed", "offset": 7}
    _log.info("sealed a journal", extra=fields)
    time, _, rest = stream.getvalue().partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == (
        'info    sealed a journal event=journal_sealed topic=orders error="two words\\n" offset=7\n'
    )


def test_json() -> None:
    stream = configured(form="json")
    _log.warning("sealed\na journal", extra={"event": "journal_sealed", "offset": 7, "path": ...})
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "warning",
        "logger": "cachesvc.test",
        "message": "sealed\na journal",
        "event": "journal_sealed",
        "offset": 7,
        "path": "Ellipsis",
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_masked(form: Literal["text", "json"]) -> None:
    stream = configured(form=form)
    _log.error("no", extra={"event": "refused", "sasl_password": "hunter2", "token": "t0k3n"})
    assert "hunter2" not in stream.getvalue()
    assert "t0k3n" not in stream.getvalue()
    assert stream.getvalue().count("********") == 2


def test_a_traceback_comes_with_the_line() -> None:
    def fail() -> None:
        try:
            raise ValueError("of old")
        except ValueError:
            _log.exception("failed", extra={"event": "failed"})

    text = configured()
    fail()
    assert text.getvalue().splitlines()[-1] == "ValueError: of old"
    lines = configured(form="json")
    fail()
    assert "ValueError: of old" in json.loads(lines.getvalue())["exception"]


def test_levels() -> None:
    stream = configured("info")
    _log.debug("unseen")
    logging.getLogger("aiokafka.consumer").info("chatter")
    logging.getLogger("other").info("seen %s", 1)
    assert [line.split()[2:] for line in stream.getvalue().splitlines()] == [["seen", "1"]]
    stream = configured("debug")
    logging.getLogger("aiokafka.consumer").debug("chatter")
    assert "chatter" in stream.getvalue()
    logging.getLogger("aiokafka.conn").debug("a request with a password")
    assert "password" not in stream.getvalue()


def test_the_last_call_counts() -> None:
    first, second = configured(), configured()
    _log.info("hello")
    assert first.getvalue() == ""
    assert second.getvalue().count("hello") == 1
