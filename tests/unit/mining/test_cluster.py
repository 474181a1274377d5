"""Connections to brokers, some of which are of another cluster; the brokers are in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from cachesvc.errors import CacheError, SourceChanged, SourceUnreachable
from cachesvc.mining.kafka import links as module
from cachesvc.mining.kafka.catalogue import KafkaCatalogue
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.links import Channel
from cachesvc.mining.kafka.settings import KafkaSettings
from cachesvc.mining.kafka.topic_metadata import TopicMetadataRequest
from cachesvc.policy.cluster_identity import ForeignAddress
from tests.support import virtual_time
from tests.unit.mining.fake_service import until

NODE = 1
OURS, THEIRS = "ours", "theirs"


class Broker:
    """A broker of a cluster with one node and one topic.

    Attributes:
        cluster_id: What it tells; None for none.
        address: Where it says that its node is.
        answers: Set while it answers.
        asked: The names of the requests that it was sent.
        opened: How often it was connected to.
    """

    def __init__(self, cluster_id: str | None, address: tuple[str, int]) -> None:
        self.cluster_id = cluster_id
        self.address = address
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked: list[str] = []
        self.opened = 0


class Connection:
    """To a broker that does not throttle, until it is closed."""

    muted_s = 0.0

    def __init__(self, broker: Broker) -> None:
        self._broker: Broker | None = broker

    def connected(self) -> bool:
        return self._broker is not None

    def close(self) -> None:
        self._broker = None

    async def ask(self, request: Any, silence_s: float) -> Any:
        broker = self._broker
        if broker is None:
            raise KafkaConnectionError("closed")
        if not isinstance(request, TopicMetadataRequest):
            broker.asked.append("other")
            await broker.answers.wait()
            return broker.cluster_id
        broker.asked.append("metadata")
        topics: list[Any] = [(0, "orders", False, [(0, 0, NODE, [], [], [])])]
        return SimpleNamespace(
            API_VERSION=5,
            brokers=[(NODE, *broker.address, None)],
            cluster_id=broker.cluster_id,
            topics=topics,
        )


class Network:
    """Where which broker is."""

    def __init__(self, **brokers: Broker | None) -> None:
        self.brokers = brokers

    async def open(self, host: str, port: int, *_: object, **__: object) -> Connection:
        broker = self.brokers.get(host)
        if broker is None:
            raise SourceUnreachable(f"{host}:{port}: nobody is there")
        broker.opened += 1
        return Connection(broker)


def play(
    monkeypatch: pytest.MonkeyPatch, test: Callable[[Network, Broker, Broker], Awaitable[None]]
) -> None:
    """Host "a" is of our cluster, host "b" of theirs; both call their node 1."""

    async def run() -> None:
        ours, theirs = Broker(OURS, ("a", 1)), Broker(THEIRS, ("b", 1))
        network = Network(a=ours, b=theirs)
        monkeypatch.setattr(module, "open_broker", network.open)
        async with asyncio.timeout(20):
            await test(network, ours, theirs)

    virtual_time.run(run())


def cluster(*hosts: str, meant: str = "") -> Cluster:
    made = Cluster(KafkaSettings(bootstrap_servers=tuple(f"{host}:1" for host in hosts)))
    made.expect(meant)
    return made


async def refused(work: Awaitable[object]) -> CacheError:
    with pytest.raises(SourceUnreachable) as caught:
        await work
    return caught.value


@pytest.mark.parametrize("hosts", ["ab", "ba"])
def test_the_right_address_is_found_in_any_order(
    monkeypatch: pytest.MonkeyPatch, hosts: str
) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        brokers = cluster(*hosts, meant=OURS)
        assert (await brokers.metadata(None)).brokers == {NODE: ("a", 1)}
        assert await brokers.send(NODE, Channel.FETCH, object()) == OURS
        assert "other" not in theirs.asked
        await brokers.try_bootstrap()
        assert brokers.foreign == (ForeignAddress("b:1", THEIRS),)

    play(monkeypatch, test)


def test_addresses_of_another_cluster_do_not_get_into_the_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        brokers = cluster("a", "b", meant=OURS)
        await brokers.metadata(None)
        network.brokers["a"] = None
        await brokers.close()
        error = await refused(brokers.metadata(None))
        # The right one may be back soon: that is for whoever waits to know.
        assert (type(error), error.reason) == (SourceUnreachable, "SOURCE_CHANGED")
        assert "nobody is there" in str(error)
        assert "b:1: cluster theirs answers there" in str(error)
        network.brokers["a"] = ours
        assert await brokers.send(NODE, Channel.FETCH, object()) == OURS
        assert "other" not in theirs.asked

    play(monkeypatch, test)


def test_where_all_addresses_lead_elsewhere_somebody_has_to_act(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        error = await refused(cluster("b", meant=OURS).metadata(None))
        assert (type(error), error.reason) == (SourceChanged, "SOURCE_CHANGED")

    play(monkeypatch, test)


@pytest.mark.parametrize("channel", list(Channel))
def test_an_address_that_was_taken_over_is_noticed_before_its_first_use(
    monkeypatch: pytest.MonkeyPatch, channel: Channel
) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        brokers = cluster("a", meant=OURS)
        await brokers.metadata(None)
        assert await brokers.send(NODE, channel, object()) == OURS
        await brokers.close()
        network.brokers["a"] = theirs
        error = await refused(brokers.send(NODE, channel, object()))
        assert error.reason == "SOURCE_CHANGED"
        assert theirs.asked == ["metadata"]
        assert brokers.foreign == (ForeignAddress("a:1", THEIRS),)
        network.brokers["a"] = ours
        assert await brokers.send(NODE, channel, object()) == OURS
        assert not brokers.foreign

    play(monkeypatch, test)


def test_an_answer_that_comes_after_another_cluster_is_meant_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        brokers = cluster("a", "b", meant=OURS)
        await brokers.metadata(None)
        ours.answers.clear()
        asking = asyncio.ensure_future(brokers.send(NODE, Channel.FETCH, object()))
        await until(lambda: "other" in ours.asked)
        brokers.expect(THEIRS)
        ours.answers.set()
        assert (await refused(asking)).reason == "SOURCE_CHANGED"
        assert str(await refused(brokers.send(NODE, Channel.FETCH, object()))) == (
            "node 1 is not known"
        )
        assert (await brokers.metadata(None)).brokers == {NODE: ("b", 1)}
        assert await brokers.send(NODE, Channel.FETCH, object()) == THEIRS

    play(monkeypatch, test)


def test_a_cluster_without_an_id_works_until_one_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        ours.cluster_id = None
        brokers = cluster("a")
        assert (await brokers.metadata(None)).cluster_id == ""
        assert await brokers.send(NODE, Channel.FETCH, object()) is None
        brokers.expect(OURS)
        error = await refused(brokers.metadata(None))
        assert "a cluster that tells no id answers there" in str(error)

    play(monkeypatch, test)


def test_a_connection_whose_other_end_changes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        brokers = cluster("a", meant=OURS)
        await brokers.metadata(None)
        await brokers.send(NODE, Channel.FETCH, object())
        # As behind a proxy that keeps connections when it turns to another cluster.
        ours.cluster_id = THEIRS
        assert (await refused(brokers.metadata(None))).reason == "SOURCE_CHANGED"
        assert (await refused(brokers.send(NODE, Channel.FETCH, object()))).reason == (
            "SOURCE_CHANGED"
        )
        assert ours.opened == 3

    play(monkeypatch, test)


def test_one_question_for_the_cluster_per_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        brokers = cluster("a", meant=OURS)
        await brokers.metadata(None)
        for _ in range(3):
            await brokers.send(NODE, Channel.CONTROL, object())
        assert ours.asked == ["metadata", "metadata", "other", "other", "other"]
        assert ours.opened == 1

    play(monkeypatch, test)


def test_what_is_where_is_told_whatever_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        brokers = cluster("b", "a", "c", meant=OURS)
        assert await brokers.clusters() == {"b:1": THEIRS, "a:1": OURS}
        network.brokers.clear()
        await refused(brokers.clusters())

    play(monkeypatch, test)


def test_a_catalogue_means_the_first_cluster_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(network: Network, ours: Broker, theirs: Broker) -> None:
        settings = KafkaSettings(bootstrap_servers=("c:1", "b:1", "a:1"), answer_timeout_s=0.2)
        catalogue = KafkaCatalogue(settings)
        await catalogue.list_topics()
        assert catalogue.cluster_id == THEIRS
        network.brokers["b"] = None
        await catalogue.close()
        assert (await refused(catalogue.list_topics())).reason == "SOURCE_CHANGED"
        network.brokers["b"] = theirs
        catalogue.rule_out(THEIRS)
        await catalogue.list_topics()
        assert catalogue.cluster_id == OURS
        network.brokers["a"] = None
        await catalogue.close()
        assert (await refused(catalogue.list_topics())).reason == "SOURCE_CHANGED"

    play(monkeypatch, test)
