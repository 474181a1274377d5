"""Whatever becomes of addresses, nothing is taken from a cluster that is not meant."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka import links as module
from cachesvc.mining.kafka.links import Channel
from tests.unit.mining.test_cluster import NODE, OURS, THEIRS, Broker, Network, cluster

HOSTS = "ab"
moves = st.tuples(st.sampled_from(HOSTS), st.sampled_from([OURS, THEIRS, "", None]))
means = st.sampled_from([OURS, THEIRS])
asks = st.sampled_from(["metadata", *Channel])
steps = st.lists(st.one_of(moves, means, asks, asks), max_size=20)


@given(steps)
def test_nothing_is_taken_from_another_cluster(steps: list[Any]) -> None:
    """An address moves to a cluster, or to none, and connections end; or another one is meant."""

    async def run() -> None:
        # Every cluster has its own idea of where its only node is.
        homes = {OURS: "a", THEIRS: "b", "": "a"}
        network = Network(a=Broker(OURS, ("a", 1)), b=Broker(THEIRS, ("b", 1)))
        meant = OURS
        brokers = cluster(*HOSTS, meant=meant)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "open_broker", network.open)
            for step in steps:
                with suppress(SourceUnreachable):
                    match step:
                        case (host, who):
                            moved = None if who is None else Broker(who, (homes[who], 1))
                            network.brokers[host] = moved
                            await brokers.close()
                        case Channel():
                            assert await brokers.send(NODE, step, object()) == meant
                        case "metadata":
                            assert (await brokers.metadata(None)).cluster_id == meant
                        case _:
                            meant = step
                            brokers.expect(meant)
                assert all(each.cluster_id != meant for each in brokers.foreign)

    asyncio.run(run())
