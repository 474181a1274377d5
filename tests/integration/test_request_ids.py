"""One id of a call in the client, the service's log and errors, and the reader's log."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.client import Client, NotFound, request_id
from tests.faults.stage import objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]


def test_an_id_goes_from_the_client_to_the_reader(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    first, second = topic_name("first"), topic_name("second")
    for topic in (first, second):
        create_topic(kafka.bootstrap, topic, 1)
        produce(kafka.bootstrap, topic, objects(0, 5))
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        for name, topic in (("order-1", first), ("order-2", second)):
            with request_id(name):
                assert asyncio.run(full(service.address, topic, topic)).count == 5
        begun = {
            each["topic"]: each["request_id"]
            for each in service.events("mining_transition")
            if each["after"] == "STARTING"
        }
        assert begun == {first: "order-1", second: "order-2"}

        # What the reader says stands in the service's log. It was not there before the first call,
        # and it has one id for all that it does by itself.
        (joined,) = service.events("reader_joined")
        assert re.fullmatch("[0-9a-f]{16}", joined["request_id"])
        told = {each["partitions"]: each for each in service.events("assignment_changed")}
        assert told[1]["request_id"] == joined["request_id"]
        assert told[2]["request_id"] == "order-2"
        (serving,) = service.events("serving")
        assert "request_id" not in serving
        # It lives on after the call for which it was started.
        assert all("request_id" not in each for each in service.events("reader_started"))

        # An operator's call, and what its error says.
        call = [sys.executable, "-m", "cachesvc", "subscriptions", "show", "nothing"]
        shown = subprocess.run(
            [*call, "--address", service.address], capture_output=True, text=True, check=False
        ).stderr
        assert re.search(r", UNKNOWN_SUBSCRIPTION, request [0-9a-f]{16}\)", shown), shown
        asyncio.run(_refused(service.address))


async def _refused(address: str) -> None:
    async with Client(address) as client:
        with pytest.raises(NotFound) as caught:
            await client.get_subscription("nothing")
        assert re.fullmatch("[0-9a-f]{16}", caught.value.request_id)
        with request_id("mine"), pytest.raises(NotFound) as caught:
            await client.get_subscription("nothing")
        assert caught.value.request_id == "mine"
