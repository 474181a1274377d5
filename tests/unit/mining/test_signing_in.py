"""A password goes to the broker and nowhere else."""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachesvc.errors import ConnectionUnusable
from cachesvc.logs import CHATTY, NEVER_DEBUG, configure_logging
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.security import Security
from cachesvc.mining.kafka.settings import KafkaSettings
from cachesvc.settings.config import LogConfig
from cachesvc.settings.connection import SaslConfig
from tests.support.sasl_stand_in import SaslStandIn

SECRET = "s3cret-that-nobody-may-see"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, at the level that says most."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    loggers = {name: logging.getLogger(name) for name in (*CHATTY, *NEVER_DEBUG)}
    levels = {name: logger.level for name, logger in loggers.items()}
    stream = io.StringIO()
    configure_logging(LogConfig(level="debug"), stream)
    yield stream
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        loggers[name].setLevel(before)
    logging.captureWarnings(capture=False)


def cluster(stand_in: SaslStandIn, file: Path) -> Cluster:
    sasl = SaslConfig(mechanism="PLAIN", username="u", password_file=str(file))
    servers = (stand_in.address,)
    return Cluster(KafkaSettings(bootstrap_servers=servers, security=Security(password=sasl)))


def test_a_right_password(tmp_path: Path, logged: io.StringIO) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")

    async def ask(stand_in: SaslStandIn) -> None:
        asked = cluster(stand_in, file)
        assert (await asked.metadata(None)).topics == {}
        await asked.close()

    with SaslStandIn(SECRET) as stand_in:
        asyncio.run(ask(stand_in))
        assert stand_in.seen == [SECRET]
    logging.getLogger("test").debug("the log is on")
    assert "the log is on" in logged.getvalue()
    assert "s3cret" not in logged.getvalue()


def test_a_wrong_password_is_refused_once_and_a_rotated_one_counts(
    tmp_path: Path, logged: io.StringIO
) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)

    async def ask(stand_in: SaslStandIn) -> None:
        asked = cluster(stand_in, file)
        for _ in range(5):
            with pytest.raises(ConnectionUnusable) as caught:
                await asked.metadata(None)
            assert caught.value.reason == "AUTHENTICATION_FAILED"
            told = "".join(traceback.format_exception(caught.value))
            assert "s3cret" not in told + repr(caught.value)
        assert stand_in.seen == [SECRET]
        file.write_text("rotated")
        async with asyncio.timeout(60):
            while len(stand_in.seen) == 1:
                try:
                    await asked.metadata(None)
                except ConnectionUnusable:
                    await asyncio.sleep(0.02)
        assert stand_in.seen == [SECRET, "rotated"]
        await asked.close()

    with SaslStandIn("rotated") as stand_in:
        asyncio.run(ask(stand_in))
    assert "s3cret" not in logged.getvalue()
