from __future__ import annotations

import pytest

from cachesvc.cli.top.display import QUIT, Display, Order, press, rows_of
from cachesvc.cli.top.views import VIEWS
from tests.unit.cli.top.samples import figures


def pressed(*keys: str, page: int = 10, total: int = 100, before: Display | None = None) -> Display:
    display = before or Display()
    for key in keys:
        after = press(display, key, page, total)
        assert after is not QUIT
        display = after
    return display


def topics(display: Display) -> list[str]:
    return [row.found.topic for row in rows_of(figures(), display)]


def test_views_go_round() -> None:
    assert [pressed(str(number)).shown for number in range(1, 7)] == list(VIEWS)
    assert pressed("9") == pressed("0") == Display()
    assert pressed("left").shown.name == "alarms"
    assert pressed("backtab", "tab", "right").shown.name == "subscriptions"


def test_rows_are_sorted_as_the_view_says_until_told_otherwise() -> None:
    assert topics(Display()) == ["items", "orders", "broken"]
    assert topics(pressed("r")) == ["broken", "orders", "items"]
    by_connection = pressed("<", "<")
    assert by_connection.order == Order("connection", descending=False)
    assert topics(pressed("<", "<", "<")) == ["broken", "items", "orders"]
    by_lag = pressed(">", ">")
    assert by_lag.order == Order("lag", descending=True)
    assert topics(by_lag) == ["orders", "items", "broken"]
    assert topics(pressed("r", before=by_lag)) == ["items", "orders", "broken"], "unknown is last"


def test_each_view_keeps_its_order() -> None:
    assert pressed("r", "2", "1").order == pressed("r").order
    assert pressed("r", "2").order == Display(view=1).order


def test_finding() -> None:
    found = pressed("/", *"ORD", "q")
    assert (found.pattern, found.typing) == ("ORDq", True), "keys are text meanwhile"
    found = pressed("backspace", "enter", before=found)
    assert (found.pattern, found.typing) == ("ORD", False)
    assert topics(found) == ["orders"]
    assert pressed("escape", before=found).pattern == ""
    assert topics(pressed("/", *"AUTHORIZED")) == ["broken"]
    assert pressed("/", "up", "\x1b") == pressed("/")


def test_scrolling_stays_within_the_rows() -> None:
    assert pressed("up").first == pressed("pageup").first == 0
    assert pressed("down", "j", "k").first == 1
    assert pressed("pagedown", "pagedown").first == 20
    assert pressed("end").first == pressed(*["pagedown"] * 20).first == 90
    assert pressed("end", "down").first == 90
    assert pressed("end", "home").first == 0
    assert pressed("down", total=5).first == 0
    assert pressed("down", "2").first == 0


def test_pausing_asking_less_and_help() -> None:
    assert pressed(" ").paused
    assert not pressed(" ", " ").paused
    assert [pressed(*keys).interval_s for keys in ("+", "++++++++", "-", "-----")] == [
        5.0,
        60.0,
        1.0,
        0.5,
    ]
    assert pressed("+", before=Display(interval_s=3)).interval_s == 5.0
    assert pressed("?").help
    assert pressed("h", "x") == Display()


@pytest.mark.parametrize("key", ["q", "Q", "\x03", "\x04"])
def test_the_end(key: str) -> None:
    assert press(Display(), key, 10, 10) is QUIT
    assert press(Display(help=True), key, 10, 10) is QUIT
    assert press(Display(typing=True), "\x03", 10, 10) is QUIT
