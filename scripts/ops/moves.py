"""Positions of a subscription before and after a reset."""

from cachesvc.client import Subscription

_NONE = (None, None)


def rows(before: Subscription, after: Subscription | None = None) -> list[dict[str, object]]:
    """Positions by partition, and what became of them."""
    old, new = _positions(before), {} if after is None else _positions(after)
    found = []
    for key in sorted(old.keys() | new.keys()):
        (was, behind), (is_, behind_then) = old.get(key, _NONE), new.get(key, _NONE)
        row: dict[str, object] = {"topic": key[0], "partition": key[1]}
        row |= {"before": was, "behind_before": behind}
        if after is not None:
            moved = None if was is None or is_ is None else is_ - was
            row |= {"after": is_, "behind_after": behind_then, "moved": moved}
        found.append(row)
    return found


def _positions(of: Subscription) -> dict[tuple[str, int], tuple[int | None, int | None]]:
    """Offset of each partition, and how many records lie behind it."""
    return {each.position.key: (each.position.offset, each.lag.records) for each in of.partitions}
