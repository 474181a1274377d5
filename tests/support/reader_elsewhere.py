"""A reader process whose way to the brokers is another than the service's.

`python -m tests.support.reader_elsewhere --kafka HOST:PORT …` is `cachesvc reader` but for where it
looks for the brokers: behind a proxy, say, that is its own.
"""

from __future__ import annotations

import argparse
import asyncio

import msgspec

from cachesvc.logs import configure_logging
from cachesvc.mining.connection_settings import ConnectionSettings
from cachesvc.mining.reader import MakeSources, ReaderSettings, kafka_source, run_reader
from cachesvc.mining.source import SourceReader
from cachesvc.settings.config import LogConfig


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser()
    for option in ("--service", "--connection", "--name", "--log-format", "--kafka"):
        parser.add_argument(option, required=True)
    options = parser.parse_args()

    def source(connection: ConnectionSettings) -> SourceReader:
        return kafka_source(msgspec.structs.replace(connection, bootstrap_servers=(options.kafka,)))

    configure_logging(msgspec.convert({"format": options.log_format}, LogConfig))
    settings = ReaderSettings(
        service=options.service, connection=options.connection, name=options.name
    )
    asyncio.run(run_reader(settings, MakeSources(source, source)))


if __name__ == "__main__":
    main()
