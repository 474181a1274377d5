"""A file of JSON lines that is followed by another one when it is full."""

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from cachesvc.store.audit_port import AuditEntry


class AuditFile:
    """Appends entries, one line each; ``FILE.1`` is the file before, and so on. Blocking.

    Args:
        path: The file; made when the first line is written, for its owner alone.
        bytes_max: Of a file.
        kept: How many full ones stay.
    """

    def __init__(self, path: Path, bytes_max: int, kept: int) -> None:
        self._lines = _Rotating(path, maxBytes=bytes_max, backupCount=kept, encoding="utf-8")

    def write(self, entries: Iterable[AuditEntry]) -> None:
        """Appends these.

        Raises:
            OSError: The file cannot be written.
        """
        for entry in entries:
            line = json.dumps(asdict(entry), ensure_ascii=False)
            self._lines.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()


class _Rotating(RotatingFileHandler):
    """One for owners alone, that does not keep a failure to itself."""

    def __init__(self, path: Path, **how: Any) -> None:
        super().__init__(path, delay=True, **how)

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        raise  # noqa: PLE0704 - logging calls this where it has caught the failure
