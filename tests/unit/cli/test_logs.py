"""`cachesvc.logs`, which the commands that start a process configure."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

import grpc
import pytest

from cachesvc.logs import JsonFormatter, LimitingRepeats, configure_logging
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


class Clock:
    """Shows the time that a test says."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def limited() -> Iterator[tuple[LimitingRepeats, Clock, io.StringIO]]:
    """A logger whose lines are alike after two of them."""
    stream, clock = io.StringIO(), Clock()
    inner = logging.StreamHandler(stream)
    inner.setFormatter(JsonFormatter())
    handler = LimitingRepeats(inner, 2, clock)
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.INFO
    yield handler, clock, stream
    handler.close()


def lines(stream: io.StringIO) -> list[tuple[Any, ...]]:
    found = map(json.loads, stream.getvalue().splitlines())
    names = ("event", "topic", "offset", "repeated")
    return [tuple(line.get(name) for name in names) for line in found]


def say(topic: str, offset: int, event: str = "append_refused") -> None:
    fields = {"event": event, "topic": topic, "offset": offset, "error": f"at {offset}"}
    _log.warning("refused", extra=fields)


def test_repeats_are_counted(limited: tuple[LimitingRepeats, Clock, io.StringIO]) -> None:
    handler, clock, stream = limited
    for offset in range(5):
        say("orders", offset)
    say("items", 7)
    said: list[tuple[Any, ...]]
    said = [("append_refused", "orders", offset, None) for offset in (0, 1)]
    said.append(("append_refused", "items", 7, None))
    assert lines(stream) == said, "the same thing twice, and another thing"
    clock.now_s += 11
    handler.tell()
    said.append(("append_refused", "orders", 4, 3))
    assert lines(stream) == said, "the newest stands for the rest"
    say("orders", 8)
    say("orders", 9)
    assert lines(stream) == said, "it goes on, so all of it is the rest"
    clock.now_s += 11
    say("items", 10)
    said += [("append_refused", "orders", 9, 2), ("append_refused", "items", 10, None)]
    assert lines(stream) == said, "any line has it told"
    clock.now_s += 11
    say("other", 0)
    say("orders", 11)
    said += [("append_refused", "other", 0, None), ("append_refused", "orders", 11, None)]
    assert lines(stream) == said, "after a quiet window it is news again"


def test_counts_are_told_at_the_end(limited: tuple[LimitingRepeats, Clock, io.StringIO]) -> None:
    handler, _, stream = limited
    for offset in range(4):
        say("orders", offset)
    handler.close()
    assert lines(stream)[-1] == ("append_refused", "orders", 3, 2)


def test_counts_are_told_by_themselves(
    limited: tuple[LimitingRepeats, Clock, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing else is said that would have them told."""
    _, clock, stream = limited
    started: list[Callable[[], None]] = []

    class FakeTimer:
        daemon = False

        def __init__(self, interval_s: float, function: Callable[[], None]) -> None:
            assert interval_s == 10
            self._function = function

        def start(self) -> None:
            assert self.daemon
            started.append(self._function)

        def cancel(self) -> None:
            started.clear()

    monkeypatch.setattr(threading, "Timer", FakeTimer)
    for offset in range(6):
        say("orders", offset)
    (tell,) = started
    clock.now_s += 10
    tell()
    assert lines(stream)[-1] == ("append_refused", "orders", 5, 4)
    assert len(started) == 1, "nothing is left to be told"


def test_a_traceback_is_not_kept(limited: tuple[LimitingRepeats, Clock, io.StringIO]) -> None:
    handler, _, stream = limited
    for _ in range(3):
        try:
            raise ValueError("of old")
        except ValueError:
            _log.exception("failed", extra={"event": "internal"})
    handler.close()
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [("exception" in line, line.get("repeated")) for line in found] == [
        (True, None),
        (True, None),
        (False, 1),
    ]


def test_lines_of_libraries_are_alike_by_what_they_say(
    limited: tuple[LimitingRepeats, Clock, io.StringIO],
) -> None:
    handler, _, stream = limited
    other = logging.getLogger("library")
    for number in range(4):
        other.warning("lost %s", number)
        other.warning("found %s", number)
    handler.close()
    said = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert sorted(said) == sorted(f"{what} {n}" for what in ("lost", "found") for n in (0, 1, 3))


def test_an_entry_of_the_audit_log_is_never_left_out(
    limited: tuple[LimitingRepeats, Clock, io.StringIO],
) -> None:
    _, _, stream = limited
    for offset in range(100):
        say("orders", offset, "audit_lost")
    assert len(lines(stream)) == 100


def test_all_lines_where_that_is_wanted() -> None:
    for config in (LogConfig(repeats_max=0), LogConfig(level="debug")):
        stream = io.StringIO()
        configure_logging(config, stream)
        for offset in range(100):
            say("orders", offset)
        assert len(stream.getvalue().splitlines()) == 100
    stream = configured()
    for offset in range(100):
        say("orders", offset)
    assert len(stream.getvalue().splitlines()) == 5


_FLOOD = """
import logging
from cachesvc.logs import configure_logging
from cachesvc.settings.config import LogConfig
configure_logging(LogConfig(format="json"))
for offset in range(100):
    logging.getLogger("x").error("no", extra={"event": "refused", "offset": offset})
"""


def test_a_process_that_ends_has_told_all_counts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FLOOD], capture_output=True, text=True, check=True
    )
    told = [json.loads(line) for line in done.stderr.splitlines()]
    found = [(line["offset"], line.get("repeated")) for line in told]
    assert found == [(0, None), (1, None), (2, None), (3, None), (4, None), (99, 95)]


def test_the_last_call_counts() -> None:
    first, second = configured(), configured()
    _log.info("hello")
    assert first.getvalue() == ""
    assert second.getvalue().count("hello") == 1


class Kept(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def test_no_record_holds_what_grpc_is_freeing() -> None:
    configured("debug")
    kept = Kept()
    logging.getLogger().addHandler(kept)

    async def drop_a_server_that_was_never_started() -> None:
        grpc.aio.server()
        gc.collect()

    asyncio.run(drop_a_server_that_was_never_started())
    assert [each for each in kept.records if "__dealloc__" in str(each.msg)] == []
