from __future__ import annotations

import pytest

from cachesvc.web.listing import ROWS, Asked, pace_of, paged

NAMES = [f"topic-{number:03}" for number in range(2 * ROWS + 7)]


def test_pages_of_a_list() -> None:
    first = paged(NAMES, Asked("/t", {}), str)
    assert (first.first, first.last, first.total, first.pages) == (1, ROWS, len(NAMES), 3)
    assert (first.previous, first.next) == ("", "/t?page=2")
    last = paged(NAMES, Asked("/t", {"page": "3"}), str)
    assert list(last.rows) == NAMES[2 * ROWS :]
    assert (last.previous, last.next) == ("/t?page=2", "")


def test_a_page_behind_the_last_one_leads_back() -> None:
    found = paged(NAMES, Asked("/t", {"page": "99"}), str)
    assert (list(found.rows), found.first, found.last) == ([], 0, 0)
    assert (found.previous, found.next) == ("/t?page=3", "")


def test_search_finds_parts_of_names_in_any_case() -> None:
    found = paged(NAMES, Asked("/t", {"q": " TOPIC-00 "}), str)
    assert list(found.rows) == NAMES[:10]
    assert found.pages == 1


@pytest.mark.parametrize(("text", "page"), [("", 1), ("x", 1), ("-4", 1), ("9" * 40, 1_000_000)])
def test_what_is_no_page_is_one_all_the_same(text: str, page: int) -> None:
    assert Asked("/t", {"page": text}).page == page


def test_addresses_keep_what_they_do_not_change() -> None:
    asked = Asked("/t", {"q": "a&b", "connection": "main", "page": "4"})
    assert asked.url(page=5) == "/t?q=a%26b&connection=main&page=5"
    assert asked.url(q="", page="", connection="") == "/t"


def test_long_lists_are_loaded_anew_more_seldom() -> None:
    assert [pace_of(rows) for rows in (0, 499, 500, 1_000, 10_000)] == [
        "2s",
        "2s",
        "2s",
        "4s",
        "40s",
    ]
    assert (pace_of(3, 5), pace_of(10_000, 5)) == ("5s", "40s")
