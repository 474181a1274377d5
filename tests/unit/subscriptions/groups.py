"""A group whose streams are a test, on a clock of the test's."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import ParamSpec

from cachesvc.model import PartitionId, TopicId
from cachesvc.policy.sharing import PartitionName
from cachesvc.subscriptions.group import Group
from cachesvc.subscriptions.members import Member, SharingBounds
from cachesvc.subscriptions.subscriber import Subscriber

TOPIC = TopicId("main", "orders")
BOUNDS = SharingBounds(release_s=10, stall_s=60)
P = ParamSpec("P")


def in_loop(test: Callable[P, None]) -> Callable[P, None]:
    """Runs a test where streams can be told to end: on an event loop."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def within() -> None:
            test(*args, **kwargs)

        asyncio.run(within())

    return run


def name(number: int) -> PartitionName:
    return "orders", number


def at(number: int) -> PartitionId:
    return TOPIC.partition(number)


class Shared:
    """A group whose streams are this test."""

    def __init__(self, partitions: int = 4) -> None:
        self.now_s = 0.0
        self.stored: dict[PartitionId, int] = {}
        self.group = Group(7, lambda: self.stored, BOUNDS, lambda: self.now_s)
        self.group.cover(map(name, range(partitions)))
        self.told: dict[tuple[str, int], int] = {}

    def join(self, member_name: str) -> Member:
        member = Member(member_name, Subscriber(7), 0)
        self.group.join(member)
        return member

    def has(self, member: Member) -> list[int]:
        """What a member has and keeps."""
        held = self.group.held(member).items()
        return sorted(number for (_, number), each in held if each.revoked_s is None)

    def loses(self, member: Member) -> list[int]:
        held = self.group.held(member).items()
        return sorted(number for (_, number), each in held if each.revoked_s is not None)

    def epoch(self, member: Member, number: int) -> int:
        return self.group.held(member)[name(number)].epoch

    def deliver(self, member: Member, number: int, offset: int) -> None:
        self.stored.setdefault(at(number), 0)
        member.subscriber.delivered[at(number)] = offset

    def tell(self, member: Member) -> None:
        """Its stream tells what it has lost."""
        held = self.group.held(member).items()
        self.group.told({lost: each.epoch for lost, each in held if each.revoked_s is not None})

    def commit(self, positions: Mapping[int, int], epochs: Mapping[int, int]) -> None:
        self.group.check(
            "copies",
            {at(n): o for n, o in positions.items()},
            {at(n): e for n, e in epochs.items()},
        )
        for number, offset in positions.items():
            self.stored[at(number)] = max(offset, self.stored.get(at(number), 0))
        self.group.settle()
