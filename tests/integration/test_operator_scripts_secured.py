"""Scripts of operators where everybody wants certificates, tokens and passwords."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Client, Mode, Tls
from tests.faults.stage import objects
from tests.support.guarded_service import OF_FILE, GuardedService
from tests.support.ports import HOST
from tests.support.secured_broker import SecuredBroker
from tests.support.topics import create_topic, delete_records_before, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
SCRIPTS = Path(__file__).parents[2] / "scripts" / "ops"
TOPIC, CUT = "ops-secured", "ops-cut"
RECORDS = 200


@dataclass(frozen=True, slots=True)
class Scene:
    """A service with TLS and access control; its broker wants TLS and a password."""

    secured: SecuredBroker
    service: GuardedService
    directory: Path

    def script(
        self, *words: str, ca: bool = True, token: bool = True
    ) -> subprocess.CompletedProcess[str]:
        file = self.directory / "token"
        file.write_text(f"{OF_FILE}\n")
        name, *rest = words
        rest += ["--ca-file", str(self.secured.authority.certificate)] if ca else []
        rest += ["--token-file", str(file)] if token else []
        return subprocess.run(
            [sys.executable, "-W", "error", str(SCRIPTS / name), *rest],
            capture_output=True,
            text=True,
            timeout=90,
            env={**os.environ, "CACHESVC_ADDRESS": self.service.address},
        )

    def rows(self, *words: str, code: int = 0) -> Any:
        done = self.script(*words, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def scene(
    secured_kafka: SecuredBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("secured-scripts")
    for topic in (TOPIC, CUT):
        create_topic(secured_kafka.broker.bootstrap, topic, 1)
        produce(secured_kafka.broker.bootstrap, topic, objects(0, RECORDS, 1))
    own = secured_kafka.authority.issue("service", (f"IP:{HOST}",))
    server = {"tls_certificate_file": str(own.certificate), "tls_key_file": str(own.key)}
    tables = {"tls": secured_kafka.tls(), "sasl": secured_kafka.sasl("alice")}
    service = GuardedService(
        directory,
        secured_kafka.address("PASSWORD"),
        {"server": server},
        {"topic_expression": f"{TOPIC}|{CUT}", **tables},
        ca_file=secured_kafka.authority.certificate,
    )
    with service:
        asyncio.run(_have_it_cached(service, secured_kafka.authority.certificate))
        yield Scene(secured_kafka, service, directory)


async def _have_it_cached(service: GuardedService, ca_file: Path) -> None:
    async with Client(service.address, tls=Tls(ca_file=ca_file), token=OF_FILE) as client:
        async with client.subscribe("first", topics=[TOPIC, CUT], mode=Mode.FULL) as stream:
            assert sum([len(batch) async for batch in stream]) == 2 * RECORDS
        await client.delete_subscription("first")


def test_each_speaks_tls_and_shows_a_token(scene: Scene, tmp_path: Path) -> None:
    dumped = scene.script("dump_range.py", TOPIC)
    assert dumped.returncode == 0, dumped.stderr
    assert [json.loads(line)["offset"] for line in dumped.stdout.splitlines()] == [*range(RECORDS)]
    assert OF_FILE not in dumped.stderr
    for name, words in (
        ("inspect_cache.py", []),
        ("why_lag.py", []),
        ("export_topic.py", [TOPIC, "--output", str(tmp_path / "out.csv")]),
        ("drain.py", ["--wait-s-max", "30"]),
        ("drain.py", ["--resume"]),
    ):
        done = scene.script(name, *words)
        assert done.returncode == 0, (name, done.stderr)
    assert scene.script("reset_subscription.py", "nobody", "--yes").returncode == 4


def test_without_the_authority_it_cannot_be_reached_and_without_a_token_it_refuses(
    scene: Scene,
) -> None:
    assert scene.script("inspect_cache.py", ca=False).returncode == 3
    assert scene.script("inspect_cache.py", token=False).returncode == 5
    assert scene.script("dump_range.py", TOPIC, token=False).returncode == 5


def settings(scene: Scene, user: str) -> list[str]:
    """What ``compare_with_broker.py`` gets in with."""
    file = scene.directory / f"{user}.toml"
    ca = scene.secured.authority.certificate
    file.write_text(
        f'security_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\nssl_cafile = "{ca}"\n'
        f'sasl_plain_username = "{user}"\n'
        f'sasl_plain_password = "{scene.secured.password_of("alice")}"\n'
    )
    return ["--kafka-settings", str(file)]


def test_a_broker_with_tls_and_passwords_is_compared(scene: Scene) -> None:
    (row,) = scene.rows("compare_with_broker.py", TOPIC, *settings(scene, "alice"))
    assert (row["cache_records"], row["broker_records"], row["same"]) == (RECORDS, RECORDS, True)
    refused = scene.script("compare_with_broker.py", TOPIC, *settings(scene, "mallory"))
    assert refused.returncode == 1 and "error: the broker at" in refused.stderr


def test_of_a_range_whose_begin_the_broker_has_deleted_the_rest_is_compared(scene: Scene) -> None:
    delete_records_before(scene.secured.broker.bootstrap, CUT, {0: 150})
    with_password = settings(scene, "alice")
    (row,) = scene.rows("compare_with_broker.py", CUT, *with_password)
    assert (row["begin"], row["end"], row["same"]) == (150, RECORDS, True)
    assert (row["cache_records"], row["broker_records"]) == (50, 50)
    (gone,) = scene.rows("compare_with_broker.py", CUT, "--to", "100", *with_password)
    assert (gone["begin"], gone["end"], gone["broker_records"]) == (100, 100, 0)
    assert gone["same"]
    dumped = scene.script("dump_range.py", CUT, "--to", "10")
    assert len(dumped.stdout.splitlines()) == 10
