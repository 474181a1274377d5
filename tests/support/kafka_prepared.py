"""What the start of a broker need not do again: load and check its classes, format its storage.

`kafka_preparing` makes it, once for a version; where it is missing a broker does without. The JVM
maps an archive of classes, and ignores one that does not suit it. The storage is a copy, given to
another cluster. Only the standard library is used.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.kafka_jars import CACHE

CLASSES = "classes.jsa"
STORAGE = "storage"


def prepared_directory(version: str) -> Path:
    """Return where the prepared files of a version are, or are to be."""
    return CACHE / f"kafka-{version}" / "prepared"


def class_archive(version: str) -> list[str]:
    """Return the options with which a JVM uses the archive; none if there is no archive."""
    archive = prepared_directory(version) / CLASSES
    # An archive of another JVM is nothing to speak of: it is not used, and all else works.
    return [f"-XX:SharedArchiveFile={archive}", "-Xlog:cds*=off"] if archive.exists() else []


def format_storage(version: str, data: Path, cluster_id: str) -> bool:
    """Format the storage of node 1, as Kafka's tool does; say whether that can be done here."""
    storage = prepared_directory(version) / STORAGE
    if not storage.is_dir():
        return False
    shutil.copytree(storage, data, dirs_exist_ok=True)
    (data / "meta.properties").write_text(f"version=1\ncluster.id={cluster_id}\nnode.id=1\n")
    return True
