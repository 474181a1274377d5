"""Listings that answer with so many rows at most: those that the caller sees are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from cachesvc.assignment.mining_tasks import Use
from cachesvc.model import PartitionId
from cachesvc.policy.alarms import AlarmKey, AlarmKind
from cachesvc.policy.callers import Grant, Right
from cachesvc.policy.rights import CALLS
from cachesvc.serving.admin.limits import rows_seen
from cachesvc.serving.calling import set_seen
from cachesvc.serving.sieves import LIMITED, SIEVES
from cachesvc.store.drops_port import DropCause, DropRecord
from cachesvc.store.mining_ports import MiningTransition
from cachesvc.store.ports import Catalogue
from cachesvc.store.watching_port import AlarmRecord
from tests.support.frames import Reject, frame
from tests.unit.policy.test_rights import METHODS
from tests.unit.serving.guarded import RECORDS, Guarded, serving

# Between two rows of the one topic there are so many of the other.
FEW, MANY = "orders", "vault"
LIST_TOPICS = "Admin.ListTopics"
"""Has one row of each topic, and tells how many there are in all."""
GRANTED = {
    "reader": (Grant(frozenset({Right.READ}), ("main",), (FEW,)),),
    "admin": (Grant(frozenset(Right)),),
}
TOPICS = ([FEW] + [MANY] * 9) * 5


def _enter(port: Catalogue) -> None:
    drops = [DropRecord(at, "main", name, DropCause.AGE, "", 1, 1, 1, "") for at, name in _rows()]
    port.drops.add(drops)
    alarms = [
        AlarmRecord(at, AlarmKey(AlarmKind.TOPIC_FAILED, "main", name), "down", at)
        for at, name in _rows()
    ]
    port.alarms.put(alarms, notify=False)
    changes = [MiningTransition("main", name, at, "IDLE", "MINING", "") for at, name in _rows()]
    port.put_mining((), (), changes)


def _rows() -> list[tuple[int, str]]:
    return list(enumerate(TOPICS, 1))


async def _fill(service: Guarded) -> None:
    mining = service.parts.mined.mining
    mining.tasks.look("main", {"orders.eu": Use(1, "billing-1")}, 1)
    await mining.commands.history("main", "", 1)  # writes what that has changed
    await service.parts.store.catalogue.call(_enter)
    for topic, count in ((MANY, 45), (FEW, 5)):
        log = service.parts.store.logs[PartitionId("main", topic, 1, 0)]
        end = RECORDS + count
        rejects = [Reject(offset) for offset in range(RECORDS, end)]
        await service.parts.store.writer.accept(log, frame(RECORDS, end, (), rejects))


def test_a_limit_counts_rows_that_the_caller_sees(tmp_path: Path) -> None:
    async def listed(service: Guarded, call: str, who: str, limit: int) -> list[Any]:
        request: Any = GetMessageClass(METHODS[call].input_type)(connection="main", limit=limit)
        answer = service.begin(call, who, request)
        messages = [each async for each in answer] if hasattr(answer, "read") else [await answer]
        rows = [row for each in messages for row in getattr(each, LIMITED[call][0])]
        return [row for row in rows if row.topic]  # those of the task itself are left out

    async def body(service: Guarded) -> None:
        await _fill(service)
        for call in LIMITED.keys() - {LIST_TOPICS}:
            for limit in (1, 3, 4, 100):
                seen = await listed(service, call, "reader", limit)
                assert [row.topic for row in seen] == [FEW] * min(limit, 5), (call, limit)
            assert len(await listed(service, call, "admin", 10)) == 10, call
        for who, names in (("reader", [FEW]), ("admin", [FEW, "orders.eu"])):
            request: Any = GetMessageClass(METHODS[LIST_TOPICS].input_type)(limit=2)
            answer = await service.begin(LIST_TOPICS, who, request)
            assert [topic.name for topic in answer.topics] == names
            assert (answer.total > len(names)) is (who == "admin"), answer.total

    serving(tmp_path, GRANTED, body)


def test_every_listing_with_a_limit_and_a_sieve_is_one_of_these() -> None:
    limited = {call for call in CALLS if "limit" in METHODS[call].input_type.fields_by_name}
    assert set(LIMITED) == limited & set(SIEVES)


@pytest.mark.parametrize("limit", [1, 2, 7, 50])
@pytest.mark.parametrize("every", [1, 3, 17])
def test_asks_for_more_until_enough_is_seen_or_there_is_no_more(limit: int, every: int) -> None:
    rows = range(100)
    asked: list[int] = []

    async def find(count: int) -> Sequence[int]:
        asked.append(count)
        return rows[:count]

    async def body() -> None:
        set_seen(lambda row: int(row) % every == 0)
        found = await rows_seen(limit, find, str)
        assert found == [str(row) for row in rows if row % every == 0][:limit]
        assert asked == [limit * 4**turn for turn in range(len(asked))]
        assert len(asked) == 1 or asked[-2] < len(rows)

    asyncio.run(body())
