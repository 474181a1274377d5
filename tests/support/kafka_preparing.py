"""Makes what the start of a broker need not do again, by a broker that is started for that."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_jars import CACHE, locked, resolve_jars
from tests.support.kafka_prepared import CLASSES, STORAGE, prepared_directory

_DUMP_TIMEOUT_S = 120.0


def prepare(version: str) -> None:
    """Make the prepared files of a version, unless they are there.

    The directory appears whole or not at all, and of several processes that ask at once one makes
    it while the others wait.

    Raises:
        KafkaUnavailable: There is no Java, no Maven, or the jars did not resolve.
        BrokerError: No broker starts.
    """
    final = prepared_directory(version)
    resolve_jars(version=version)
    if final.is_dir():
        return
    with locked(CACHE / f"{final.parent.name}.lock"):
        if not final.is_dir():
            _prepare(version, final)


def _prepare(version: str, final: Path) -> None:
    staging = Path(tempfile.mkdtemp(prefix="preparing.", dir=final.parent))
    made = staging / final.name
    made.mkdir()
    try:
        if KafkaBroker(staging / "broker", version=version).format():
            shutil.copytree(staging / "broker" / "data", made / STORAGE)
        archive = staging / CLASSES
        options = [f"-XX:ArchiveClassesAtExit={archive}"]
        with KafkaBroker(staging / "broker", jvm_options=options, version=version) as broker:
            broker.stop(_DUMP_TIMEOUT_S)
            # Before ZooKeeper, where there is one, writes its own.
            if archive.exists():
                archive.rename(made / CLASSES)
        made.rename(final)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
