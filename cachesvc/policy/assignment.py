"""Which reader mines which topic.

Invariant: every topic has exactly one reader, as long as there is a reader at all. A topic changes
hands only if its reader has left, or if moving it makes the load clearly more even: a move costs a
new epoch and a restart of that topic's mining. Planning again without a change moves nothing.

A pinned topic goes to its reader and stays there. While that one is away it goes to another, and
back afterwards; or it has none if it was pinned strictly.

A reader that is cut off from the brokers gets nothing and keeps nothing, as long as another one is
not: except for what is strictly pinned to it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

IMBALANCE_TOLERATED = 5
"""Loads may differ by one part in this many of the mean load without anything being moved."""


@dataclass(frozen=True, slots=True)
class Pin:
    """The reader that a topic was given to by hand; ``strict``: that one or none."""

    reader: str
    strict: bool = False


@dataclass(slots=True)
class _Share:
    """What one reader has while a plan is made."""

    reader: str
    weights: dict[str, int] = field(default_factory=dict)
    pinned: set[str] = field(default_factory=set)
    load: int = 0

    def take(self, topic: str, weight: int) -> None:
        self.weights[topic] = weight
        self.load += weight

    def give(self, topic: str) -> int:
        weight = self.weights.pop(topic)
        self.load -= weight
        return weight


def assign(
    weights: Mapping[str, float],
    readers: Iterable[str],
    current: Mapping[str, str],
    pins: Mapping[str, Pin] | None = None,
    cut_off: Collection[str] = (),
) -> dict[str, str]:
    """Spreads topics over readers. The outcome depends on no order of the arguments.

    Args:
        weights: Every topic to be mined, with its recent bytes per second; anything below 1 counts
            as 1, so that idle topics are spread by their number.
        readers: The names of the readers there are.
        current: Which reader has which topic now; may name topics and readers that are gone.
        pins: Topics that were given to a reader by hand; may name what is not there.
        cut_off: Readers that do not reach the brokers.

    Returns:
        The reader of every topic, in the order of ``weights``; empty without readers. Topics that
        wait for the reader that they are strictly pinned to are left out.
    """
    pins = pins or {}
    sizes = {topic: max(1, round(weight)) for topic, weight in weights.items()}
    shares = {reader: _Share(reader) for reader in sorted(set(readers))}
    if not shares:
        return {}
    fit = {name: share for name, share in shares.items() if name not in cut_off} or shares
    homeless: list[str] = []
    for topic, size in sizes.items():
        pin = pins.get(topic)
        if pin is not None and (pin.strict or pin.reader in fit):
            if pin.reader in shares:
                shares[pin.reader].take(topic, size)
                shares[pin.reader].pinned.add(topic)
            continue
        share = fit.get(current.get(topic, ""))
        if share is None:
            homeless.append(topic)
        else:
            share.take(topic, size)
    for topic in sorted(homeless, key=lambda topic: (-sizes[topic], topic)):
        _lightest(fit.values()).take(topic, sizes[topic])
    while _move_one(fit.values()):
        pass
    owners = {topic: share.reader for share in shares.values() for topic in share.weights}
    return {topic: owners[topic] for topic in weights if topic in owners}


def _lightest(shares: Collection[_Share]) -> _Share:
    return min(shares, key=lambda share: (share.load, len(share.weights), share.reader))


def _move_one(shares: Collection[_Share]) -> bool:
    """Moves one topic to the lightest reader, from the heaviest for which that pays, if any.

    The topic is the one that leaves the two most even. It is lighter than the gap between them, so
    the sum of the squares of all loads falls with every move, and moving comes to an end.
    """
    light = _lightest(shares)
    total = sum(share.load for share in shares)
    for heavy in sorted(shares, key=lambda share: (-share.load, share.reader)):
        gap = heavy.load - light.load
        if gap * len(shares) * IMBALANCE_TOLERATED <= total:
            return False
        movable = [
            topic
            for topic, size in heavy.weights.items()
            if size < gap and topic not in heavy.pinned
        ]
        if movable:
            topic = min(movable, key=lambda topic: (abs(gap - 2 * heavy.weights[topic]), topic))
            light.take(topic, heavy.give(topic))
            return True
    return False
