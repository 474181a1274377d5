"""What a connection is made of: its cluster, and the readers of this machine."""

from collections.abc import AsyncGenerator
from pathlib import Path

from cachesvc.clusters.sources import Source
from cachesvc.mining.connection_work import ConnectionWork
from cachesvc.mining.kafka import KafkaCatalogue, KafkaSettings, security_of
from cachesvc.mining.kafka.checks import examine
from cachesvc.mining.supervisor import ReaderCommand, ReaderProcess
from cachesvc.policy.connection_checks import CheckResult
from cachesvc.policy.topics import topic_matcher
from cachesvc.settings.config import Config
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.store import layout


def examine_connection(
    connection: ConnectionConfig, limit_s: float, cluster_id: str = ""
) -> AsyncGenerator[CheckResult, None]:
    """Tests a connection from this process; see ``mining.kafka.checks.examine``."""
    return examine(connection, limit_s, cluster_id)


class ConnectionWorks:
    """Makes what runs for each connection.

    Args:
        config: Of the service.
        socket: Where local readers join.
    """

    def __init__(self, config: Config, socket: Path) -> None:
        self._config = config
        self._socket = socket

    def __call__(self, connection: ConnectionConfig) -> ConnectionWork:
        """What runs for a connection: local readers only where they may mine something."""
        source = _source(connection, self._config.mining.answer_timeout_s)
        count = self._config.mining.readers if source.mined else 0
        names = [f"{source.name}-{number}" for number in range(count)]
        may = [name for name in names if connection.agent in ("", name)]
        return ConnectionWork(source, [self._reader(source.name, name) for name in may])

    def _reader(self, connection: str, name: str) -> ReaderProcess:
        logs = self._config.log
        arguments = [
            "reader",
            "--service",
            f"unix:{self._socket}",
            "--connection",
            connection,
            "--name",
            name,
            "--black-box",
            str(Path(self._config.store.path) / layout.black_box_path(name)),
            "--exit-with-parent",
            "--log-level",
            logs.level,
            "--log-format",
            logs.format,
            "--log-repeats-max",
            str(logs.repeats_max),
        ]
        return ReaderProcess(ReaderCommand(connection, name, arguments))


def _source(connection: ConnectionConfig, answer_timeout_s: float) -> Source:
    return Source(
        connection.name,
        connection.bootstrap_servers,
        connection.topic_expression,
        connection.non_json_policy,
        KafkaCatalogue(
            KafkaSettings(
                bootstrap_servers=connection.bootstrap_servers,
                security=security_of(connection),
                answer_timeout_s=answer_timeout_s,
            )
        ),
        topic_matcher(connection.topic_expression),
        is_source=connection.is_source,
        log_caching=connection.log_caching,
        agent=connection.agent,
    )
