"""What the process says about itself: one line per event on stderr, for people or for programs.

A module logs with ``logging``: a constant message, an ``event`` name that programs can rely on, and
fields::

    _log = logging.getLogger(__name__)
    _log.info("sealed a journal", extra={"event": "journal_sealed", "topic": "orders"})

Lines of libraries come out in the same shape. What is said on behalf of a call has its
``request_id``. A field whose name ends in a word such as
``password`` is masked, whoever wrote it. Only the commands that start a process configure logging.

What is said again and again about the same thing is written a few times, and then counted: the line
for all the rest is the newest of them, with the field ``repeated``.
"""

import copy
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

from cachesvc.policy.repeats import WINDOW_S, Key, Repeats
from cachesvc.request_ids import current_request_id
from cachesvc.settings.config import MASK, LogConfig, is_secret

# Libraries whose "info" is our "debug".
CHATTY = ("aiokafka", "apscheduler", "asyncio", "grpc", "kafka", "uvicorn")
# Modules whose "debug" is never to be: the first has whole requests, with the passwords in them;
# the second logs an object while that is freed (grpcio 1.85, `AioServer.__dealloc__`), and who
# keeps such a record frees it again, which crashes the process some time later.
NEVER_DEBUG = ("aiokafka.conn", "grpc._cython.cygrpc")
_NOT_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Each of these lines counts, whatever there are of them.
_NEVER_LEFT_OUT = frozenset({"audit_lost"})
# These change from line to line about the same thing.
_CHANGING = frozenset({"event", "error", "request_id"})
_PLAIN_VALUE = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f]+")


def configure_logging(config: LogConfig, stream: TextIO | None = None) -> None:
    """Sends every log line of this process to ``stream``; the last call counts.

    Args:
        config: Level and format.
        stream: Where lines go; stderr if None.
    """
    level = logging.getLevelNamesMapping()[config.level.upper()]
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if config.format == "json" else TextFormatter())
    root = logging.getLogger()
    # Who asks for details wants all of them.
    limited = config.repeats_max > 0 and level > logging.DEBUG
    root.handlers = [LimitingRepeats(handler, config.repeats_max) if limited else handler]
    root.setLevel(level)
    chatty_level = level if level == logging.DEBUG else max(level, logging.WARNING)
    for name in CHATTY:
        logging.getLogger(name).setLevel(chatty_level)
    for name in NEVER_DEBUG:
        logging.getLogger(name).setLevel(max(chatty_level, logging.INFO))
    logging.captureWarnings(capture=True)


class LimitingRepeats(logging.Handler):
    """Hands lines on to another handler, but of those that are alike only a few, and a count.

    Args:
        inner: Writes them.
        lines_max: As that of ``Repeats``.
        clock: Monotonic.
    """

    def __init__(
        self, inner: logging.Handler, lines_max: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._inner = inner
        self._repeats = Repeats(lines_max)
        self._clock = clock
        self._newest: dict[Key, logging.LogRecord] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line, or counts it; called with the handler's lock held."""
        now_s = self._clock()
        self._tell(self._repeats.ended(now_s))
        event = str(getattr(record, "event", "") or f"{record.name}: {record.msg}")
        if event in _NEVER_LEFT_OUT:
            self._inner.handle(record)
            return
        key, written = self._repeats.admit(event, _about(record), now_s)
        if written:
            self._inner.handle(record)
            return
        newest = self._newest[key] = copy.copy(record)
        newest.exc_info = None  # it stood with the first ones, and would hold frames
        self._set_timer()

    def tell(self) -> None:
        """Writes what was counted in windows that have ended."""
        self.acquire()
        try:
            self._timer = None
            self._tell(self._repeats.ended(self._clock()))
            if self._newest:
                self._set_timer()
        finally:
            self.release()

    def close(self) -> None:
        """Writes what was counted so far; the process ends."""
        self.acquire()
        try:
            if self._timer is not None:
                self._timer.cancel()
            self._tell(self._repeats.ended(float("inf")))
        finally:
            self.release()
        self._inner.close()
        super().close()

    def _tell(self, ended: Iterable[tuple[Key, int]]) -> None:
        for key, count in ended:
            newest = self._newest.pop(key, None)
            if newest is not None:
                newest.repeated = count
                self._inner.handle(newest)

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(WINDOW_S, self.tell)
            self._timer.daemon = True
            self._timer.start()


def _about(record: logging.LogRecord) -> Hashable:
    """What a line is about, as far as lines about the same thing have it in common."""
    return tuple(
        (name, value)
        for name, value in vars(record).items()
        if name not in _NOT_FIELDS
        and name not in _CHANGING
        and (isinstance(value, str) or name == "partition")
    )


class JsonFormatter(logging.Formatter):
    """One JSON object: time, level, logger, message, the fields, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        trace = _trace(self, record)
        if trace:
            line["exception"] = trace
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Time, level and message, the fields as ``name=value``, and a traceback on further lines."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines, without the last end."""
        message = record.getMessage().replace("\n", "\\n")
        fields = "".join(
            f" {name}={_shown(value)}"
            for name, value in _fields(record).items()
            if (name, value) != ("event", message)
        )
        trace = _trace(self, record)
        line = f"{_time(record)} {record.levelname.lower():<7} {message}{fields}"
        return f"{line}\n{trace}" if trace else line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What came with ``extra``, the event's name first, and for whom it was."""
    given = {name: value for name, value in vars(record).items() if name not in _NOT_FIELDS}
    event = {"event": given.pop("event")} if "event" in given else {}
    if request_id := current_request_id():
        given.setdefault("request_id", request_id)
    return event | {name: MASK if is_secret(name) else value for name, value in given.items()}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    text = str(value)
    return text if _PLAIN_VALUE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
