"""An orders table that changes: the demo's data. No I/O, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

COUNTRIES = ("DE", "ES", "FI", "FR", "IT", "NL", "PL", "SE")
_STEPS = {"placed": "paid", "paid": "packed", "packed": "shipped", "shipped": "delivered"}
_OPEN_ORDERS_MAX = 5_000
_CUSTOMERS = 2_000
_INSERT_SHARE = 0.4
_CANCEL_SHARE = 0.1

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One change event.

    Attributes:
        order_id: Whose row changed; changes of one row stay in order.
        key: The record's key.
        value: `{"op", "ts_ms", "before", "after"}` as JSON; op is c, u or d.
    """

    order_id: int
    key: bytes
    value: bytes


class OrdersTable:
    """Makes up the history of a table, change by change.

    Args:
        started_ms: Time of the first change, in milliseconds since the Unix epoch.
        seed: Of everything that is drawn at random.
    """

    def __init__(self, started_ms: int, seed: int = 1) -> None:
        self._random = Random(seed)
        self._now_ms = started_ms
        self._open: list[Row] = []
        self._last_id = 0

    def changes(self, count: int) -> Iterator[Change]:
        """The next changes: rows are inserted, updated up to "delivered", or deleted."""
        for _ in range(count):
            self._now_ms += 1
            if not self._open or self._wants_insert():
                yield self._insert()
            elif self._random.random() < _CANCEL_SHARE:
                yield self._delete()
            else:
                yield self._update()

    def _wants_insert(self) -> bool:
        return len(self._open) < _OPEN_ORDERS_MAX and self._random.random() < _INSERT_SHARE

    def _insert(self) -> Change:
        draw = self._random.random
        self._last_id += 1
        row = {
            "id": self._last_id,
            "customer": f"customer-{int(draw() * _CUSTOMERS):04}",
            "country": COUNTRIES[int(draw() * len(COUNTRIES))],
            "items": 1 + int(draw() * 5),
            "amount": round(5 + 200 * draw(), 2),
            "status": "placed",
        }
        self._open.append(row)
        return self._change("c", None, row)

    def _update(self) -> Change:
        at = self._draw()
        before = self._open[at]
        after = {**before, "status": _STEPS[before["status"]]}
        if after["status"] in _STEPS:
            self._open[at] = after
        else:
            self._take(at)
        return self._change("u", before, after)

    def _delete(self) -> Change:
        return self._change("d", self._take(self._draw()), None)

    def _draw(self) -> int:
        return int(self._random.random() * len(self._open))

    def _take(self, at: int) -> Row:
        """Takes an open order out; the last one moves to its place."""
        row, last = self._open[at], self._open.pop()
        if last is not row:
            self._open[at] = last
        return row

    def _change(self, op: str, before: Row | None, after: Row | None) -> Change:
        row = after or before
        assert row is not None
        event = {"op": op, "ts_ms": self._now_ms, "before": before, "after": after}
        return Change(row["id"], b'{"id":%d}' % row["id"], msgspec.json.encode(event))
