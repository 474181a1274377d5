"""What the process says about itself: one line per event on stderr, for people or for programs.

A module logs with ``logging``: a constant message, an ``event`` name that programs can rely on, and
fields::

    _log = logging.getLogger(__name__)
    _log.info("sealed a journal", extra={"event": "journal_sealed", "topic": "orders"})

Lines of libraries come out in the same shape. A field whose name ends in a word such as
``password`` is masked, whoever wrote it. Only the commands that start a process configure logging.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from cachesvc.settings.config import MASK, LogConfig, is_secret

# Libraries whose "info" is our "debug".
CHATTY = ("aiokafka", "apscheduler", "asyncio", "grpc", "kafka", "uvicorn")
# Modules whose "debug" has whole requests, with the passwords in them.
TELL_TALES = ("aiokafka.conn",)
_NOT_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
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
    root.handlers = [handler]
    root.setLevel(level)
    chatty_level = level if level == logging.DEBUG else max(level, logging.WARNING)
    for name in CHATTY:
        logging.getLogger(name).setLevel(chatty_level)
    for name in TELL_TALES:
        logging.getLogger(name).setLevel(max(chatty_level, logging.INFO))
    logging.captureWarnings(capture=True)


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
    """What came with ``extra``, the event's name first."""
    given = {name: value for name, value in vars(record).items() if name not in _NOT_FIELDS}
    event = {"event": given.pop("event")} if "event" in given else {}
    return event | {name: MASK if is_secret(name) else value for name, value in given.items()}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    text = str(value)
    return text if _PLAIN_VALUE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
