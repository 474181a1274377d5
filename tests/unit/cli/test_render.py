from __future__ import annotations

import io
import sys

import pytest

from cachesvc.cli.render import Column, show_table

COLUMNS = (Column("name", lambda row: row[0]), Column("size", lambda row: str(row[1]), number=True))
ROWS = [("a[bold]x", 1), ("b" * 200, 12345)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_columns_are_aligned_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(ROWS, COLUMNS, "nothing")
    header, first, second = capsys.readouterr().out.splitlines()
    assert header == f"NAME{' ' * 198}SIZE".replace("SIZE", " SIZE")
    assert first == f"a[bold]x{' ' * 192}      1"
    assert second == f"{'b' * 200}  12345"


def test_on_a_terminal_tables_fit_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    show_table(ROWS, COLUMNS, "nothing")
    lines = terminal.getvalue().splitlines()
    assert any("─" in line or "━" in line for line in lines)
    assert any("a[bold]x" in line for line in lines), "text is never taken for markup"
    assert sum(line.count("b") for line in lines) == 200 + 1, "nothing is cut off"
