from __future__ import annotations

import pytest

from cachesvc.cli.top.spark import spark


@pytest.mark.parametrize(
    ("values", "width", "wanted"),
    [
        ([], 5, ""),
        ([0, 0], 5, "▁▁"),
        ([0, 1, 50, 100], 5, "▁▂▅█"),
        ([None, 3, None], 5, " █ "),
        ([0, 9, 0, 0, 1, 0], 3, "█▁▂"),
        ([5] * 240, 24, "█" * 24),
    ],
)
def test_values_as_bars(values: list[float | None], width: int, wanted: str) -> None:
    assert spark(values, width) == wanted
