from __future__ import annotations

import pytest

from cachesvc import units


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (8 * 1024**3, "8.0 GiB"),
        (2**62, "4096.0 PiB"),
    ],
)
def test_bytes(count: int, text: str) -> None:
    assert units.show_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h 5 s"),
        (90_061, "1 d 1 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert units.show_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0"), (1234, "1,234"), (999.6, "1,000"), (2**63 - 1, f"{2**63 - 1:,}")],
)
def test_counts(count: float | None, text: str) -> None:
    assert units.show_count(count) == text


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (None, "-"),
        (0, "-"),
        (1_767_323_045_678, "2026-01-02 03:04:05Z"),
        (2**62, "9999-12-31 23:59:59Z"),
        (-1, "-"),
        (-5, "1970-01-01 00:00:00Z"),
    ],
)
def test_times(time_ms: int | None, text: str) -> None:
    assert units.show_time(time_ms) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 語", "plain ä 語"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31m\x9b\u202e", r"\x1b[31m\x9b\u202e"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert units.printable(text) == shown
