from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from cachesvc.assignment.assignments import Assignments
from cachesvc.clusters.sources import Source, Sources
from cachesvc.model import GapCause, TopicId, TopicIncarnation
from cachesvc.policy.incarnations import next_incarnation
from cachesvc.serving.admin.overview import OverviewAdmin
from cachesvc.serving.calling import set_seen
from cachesvc.store.ports import TopicEntry
from cachesvc.v1 import admin_pb2 as pb
from tests.support.frames import ORDERS, full_frames
from tests.unit.clusters.lookups import FakeLookup, source
from tests.unit.log.running import append, ensure, filled, running


class _Needed:
    """Stands for the assignments; counts how often it is asked."""

    def __init__(self, *topics: str) -> None:
        self._topics = set(topics)
        self.asked = 0

    def needed(self, source: Source) -> set[str]:
        self.asked += 1
        return self._topics if source.name == ORDERS.connection else set()


def test_topics_in_their_present_incarnation(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            await filled(store, full_frames(0, 20, 5))
            second = next_incarnation(ORDERS.topic_id)
            await store.changes.create(
                TopicEntry([TopicIncarnation(second, "", GapCause.TOPIC_RECREATED)])
            )
            await append(store, await ensure(store, second.partition(0), 0), full_frames(0, 5, 5))
            await ensure(store, TopicId(ORDERS.connection, "gone").partition(0), 0)
            sources = Sources(
                [
                    source(FakeLookup(orders=1, items=1), ORDERS.connection),
                    source(FakeLookup(), "b"),
                ]
            )
            needed = _Needed("orders")
            overview = OverviewAdmin(store, sources, cast(Assignments, needed), "{}", "1")

            async def topics(**request: Any) -> list[tuple[Any, ...]]:
                asked = pb.ListTopicsRequest(**request)
                answer = await overview.ListTopics(asked, cast(Any, None))
                return [
                    (t.name, t.incarnation, t.needed, [p.log_end_offset for p in t.partitions])
                    for t in answer.topics
                ]

            everything = [
                ("gone", 1, False, [0]),
                ("items", 1, False, []),
                ("orders", 2, True, [5]),
            ]
            assert await topics() == everything
            assert needed.asked == 1, "once for each connection with topics, however many"
            assert await topics(topic="orders") == [("orders", 2, True, [5])]
            assert await topics(connection="b") == []
            assert await topics(search="O", limit=1) == everything[:1]
            assert await topics(search="O", limit=5, skip=1) == everything[2:]
            assert await topics(search="none of them") == []
            page = pb.ListTopicsRequest(search="o", limit=1, skip=1)
            assert (await overview.ListTopics(page, cast(Any, None))).total == 2
            set_seen(lambda row: bool(row.name != "gone"))
            assert (await overview.ListTopics(page, cast(Any, None))).total == 1
            assert await topics(limit=1) == everything[1:2]

    asyncio.run(run())
