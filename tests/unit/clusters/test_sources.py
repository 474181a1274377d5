from __future__ import annotations

import asyncio

import pytest

from cachesvc.clusters.sources import Sources
from cachesvc.errors import InvalidRequest, NotFound, PreconditionFailed, SourceUnreachable
from cachesvc.model import PartitionId
from tests.unit.clusters.lookups import FakeLookup, source


def told(sources: Sources) -> list[str]:
    changes: list[str] = []
    sources.subscribe(lambda: changes.append("changed"))
    return changes


def test_finds_a_connection_by_name_or_the_only_one() -> None:
    main, spare = source(FakeLookup()), source(FakeLookup(), "spare")
    assert Sources([main]).resolve("") is main
    both = Sources([spare, main])
    assert both.all() == [main, spare]
    assert both.resolve("spare") is spare
    with pytest.raises(InvalidRequest, match="this service has: main, spare") as ambiguous:
        both.resolve("")
    assert ambiguous.value.reason == "CONNECTION_REQUIRED"
    with pytest.raises(NotFound, match="no connection 'other'; this service has: main") as unknown:
        both.resolve("other")
    assert unknown.value.reason == "UNKNOWN_CONNECTION"
    with pytest.raises(InvalidRequest, match="this service has: none"):
        Sources([]).resolve("")


def test_a_look_tells_of_changes_and_of_nothing_else() -> None:
    async def run() -> None:
        lookup = FakeLookup(orders=1)
        one = source(lookup)
        one.known = False
        sources = Sources([one])
        changes = told(sources)
        await sources.look(one)
        assert (one.known, len(changes)) == (True, 1)
        await sources.look(one)
        assert len(changes) == 1
        lookup.topics = {"orders": (0, 1, 2), "items": (0,), "no-thanks": (0,)}
        await sources.look(one)
        assert one.topics == {"orders": (0, 1, 2), "items": (0,)}
        assert len(changes) == 2

    asyncio.run(run())


def test_a_topic_that_is_gone_stays_known() -> None:
    async def run() -> None:
        lookup = FakeLookup(orders=2, items=1)
        one = source(lookup)
        sources = Sources([one])
        del lookup.topics["items"]
        await sources.look(one)
        assert one.topics == {"orders": (0, 1), "items": (0,)}

    asyncio.run(run())


def test_tells_when_a_cluster_goes_away_and_when_it_comes_back() -> None:
    async def run() -> None:
        lookup = FakeLookup(orders=1)
        one = source(lookup)
        sources = Sources([one])
        changes = told(sources)
        lookup.reachable = False
        for _ in range(3):
            with pytest.raises(SourceUnreachable):
                await sources.look(one)
            assert (one.error, len(changes)) == ("the broker does not answer", 1)
        lookup.reachable = True
        await sources.look(one)
        assert (one.error, len(changes)) == ("", 2)

    asyncio.run(run())


def test_a_listener_may_leave_while_it_is_told() -> None:
    sources = Sources([])
    told_: list[str] = []

    def once() -> None:
        told_.append("once")
        sources.unsubscribe(once)

    sources.subscribe(once)
    sources.subscribe(lambda: told_.append("always"))
    sources.notify()
    sources.notify()
    assert sorted(told_) == ["always", "always", "once"]


def test_a_connection_that_is_replaced_keeps_topics_that_still_match() -> None:
    sources = Sources([source(FakeLookup(orders=2, items=1))])
    changes = told(sources)
    narrow = source(FakeLookup())
    narrow.matches = lambda topic: topic == "orders"
    sources.put(narrow)
    assert sources.resolve("main") is narrow
    assert narrow.topics == {"orders": (0, 1)}
    sources.remove("main")
    sources.remove("main")
    assert sources.all() == []
    assert changes == ["changed", "changed"]


def test_what_is_cached_adds_to_what_is_known() -> None:
    main = source(FakeLookup(orders=2))
    sources = Sources([main])
    sources.remember([PartitionId("main", "orders", 1, 5), PartitionId("main", "gone", 1, 0)])
    assert main.topics == {"orders": (0, 1, 5), "gone": (0,)}


def test_only_what_is_mined_may_be_subscribed_to() -> None:
    main = source(FakeLookup(orders=2))
    main.check_mined()
    main.log_caching = False
    with pytest.raises(PreconditionFailed) as caught:
        main.check_mined()
    assert caught.value.reason == "LOG_CACHING_OFF"
    main.is_source = False
    with pytest.raises(PreconditionFailed) as caught:
        main.check_mined()
    assert caught.value.reason == "CONNECTION_NOT_A_SOURCE"
    assert not main.mined
