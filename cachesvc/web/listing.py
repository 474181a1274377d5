"""Long lists, a page of them at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")
ROWS = 50
_SEARCH_MAX = 200
_PAGE_MAX = 1_000_000
_ROWS_PER_S = 250


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a list somebody wants to see, by the query of an address.

    Attributes:
        path: The page's.
        fields: The query.
    """

    path: str
    fields: Mapping[str, str]

    @property
    def search(self) -> str:
        """What rows are to contain."""
        return self.text("q")[:_SEARCH_MAX].strip()

    @property
    def page(self) -> int:
        """Which page of the list, from 1."""
        return self.number("page", 1, 1, _PAGE_MAX)

    @property
    def skip(self) -> int:
        """How many rows are before it."""
        return self.skip_of(ROWS)

    def skip_of(self, rows: int) -> int:
        """The same where a page has so many."""
        return (self.page - 1) * rows

    def text(self, name: str, default: str = "") -> str:
        """A field."""
        return self.fields.get(name, default)

    def number(self, name: str, default: int, lowest: int, highest: int) -> int:
        """A field that is a number within bounds; the default where it is none."""
        text = self.text(name)
        try:
            return min(max(int(text), lowest), highest)
        except ValueError:
            return default

    def url(self, **changed: object) -> str:
        """The address with other fields; those that are empty are left out."""
        fields = {**self.fields, **{name: str(value) for name, value in changed.items()}}
        query = urlencode({name: value for name, value in fields.items() if value})
        return f"{self.path}?{query}" if query else self.path


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A page of a list.

    Attributes:
        rows: Those of the page.
        total: How many there are over all pages.
        asked: What was wanted.
        size: How many rows a page has.
    """

    rows: Sequence[T]
    total: int
    asked: Asked
    size: int = ROWS

    @property
    def pages(self) -> int:
        """How many there are, one at least."""
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        """Number of the first row shown, from 1; 0 where there is none."""
        return self._skip + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """Number of the last row shown."""
        return self._skip + len(self.rows) if self.rows else 0

    @property
    def _skip(self) -> int:
        return self.asked.skip_of(self.size)

    @property
    def previous(self) -> str:
        """The address of the page before; empty where there is none."""
        if self.asked.page == 1:
            return ""
        return self.asked.url(page=min(self.asked.page - 1, self.pages))

    @property
    def next(self) -> str:
        """The address of the page behind; empty where there is none."""
        return self.asked.url(page=self.asked.page + 1) if self.asked.page < self.pages else ""


def pace_of(rows: int, least_s: int = 2) -> str:
    """How often a live part is loaded anew, for which the service goes over so many rows.

    The more there are the more seldom, so that whoever leaves a page open costs the service a
    percent or so of its time and not more with every topic.
    """
    return f"{max(least_s, rows // _ROWS_PER_S)}s"


def paged(rows: Sequence[T], asked: Asked, words: Callable[[T], str]) -> Listing[T]:
    """The page that was asked for of a list that is here whole.

    Args:
        rows: All of them.
        asked: What is wanted.
        words: What of a row is searched.
    """
    search = asked.search.casefold()
    found = [row for row in rows if search in words(row).casefold()] if search else rows
    return Listing(found[asked.skip : asked.skip + ROWS], len(found), asked)
