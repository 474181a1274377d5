"""Secrets, from where the settings say that they are, at the moment in which they are needed."""

import os
from pathlib import Path

from cachesvc.errors import ConnectionUnusable

_BYTES_MAX = 64 << 10


def read_secret(variable: str | None, file: str | None, setting: str) -> str | None:
    """The secret in an environment variable or in a file; None where neither is named.

    The one line end that editors add to a file is no part of it. Blocks, if there is a file.

    Args:
        variable: Name of the environment variable.
        file: Path of the file.
        setting: What names them, without ``_env`` and ``_file``, such as ``sasl.password``.

    Raises:
        ConnectionUnusable: It is not there, empty, or not text (``SECRET_MISSING``); the message
            has the variable or the file, never what is in it.
    """
    if variable is not None:
        found = os.environ.get(variable)
        if found is None:
            raise _missing(f"{setting}_env: there is no environment variable {variable}")
        return _checked(found, f"{setting}_env: the environment variable {variable}")
    if file is not None:
        return _checked(_text(file, setting), f"{setting}_file: {file}")
    return None


def _text(file: str, setting: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(_BYTES_MAX + 1)
    except OSError as error:
        raise _missing(f"{setting}_file: {file} cannot be read: {error.strerror}") from None
    if len(data) > _BYTES_MAX:
        raise _missing(f"{setting}_file: {file} has more than {_BYTES_MAX} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # Without the cause, which carries the bytes.
        raise _missing(f"{setting}_file: {file} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")


def _checked(secret: str, place: str) -> str:
    if not secret:
        raise _missing(f"{place} is empty")
    if "\0" in secret:
        raise _missing(f"{place} has a character 0")
    return secret


def _missing(what: str) -> ConnectionUnusable:
    return ConnectionUnusable(
        f"{what}; put the secret there, the service reads it at the next try",
        reason="SECRET_MISSING",
    )
