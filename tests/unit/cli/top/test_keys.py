from __future__ import annotations

import os

import pytest

from cachesvc.cli.top.keys import keys_of, read_keys


def test_what_terminals_send() -> None:
    sent = "q\x1b[A\x1bOB\x1b[5~\x1b[6~\t\x1b[Z\r\x7fé\x1b"
    assert list(keys_of(sent)) == [
        "q",
        "up",
        "down",
        "pageup",
        "pagedown",
        "tab",
        "backtab",
        "enter",
        "backspace",
        "é",
        "escape",
    ]


def test_reading_waits_no_longer_than_it_may() -> None:
    reading, writing = os.pipe()
    try:
        assert read_keys(reading, 0.01) == []
        os.write(writing, b"2\x1b[B")
        assert read_keys(reading, 5) == ["2", "down"]
    finally:
        os.close(writing)
    with pytest.raises(EOFError):
        read_keys(reading, 5)
    os.close(reading)
