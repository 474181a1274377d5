"""The jars of the Kafka broker that the tests run, resolved once by Maven.

Only the standard library is used, so that a script can start a broker with any Python.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASSETS = Path(__file__).resolve().parent / "kafka"
CACHE = Path(__file__).resolve().parents[2] / ".cache"
RESOLVE_TIMEOUT_S = 600.0
_VERSION = re.compile(r"\d+(\.\d+)+")


class KafkaUnavailable(RuntimeError):
    """No broker can run here: Java, Maven or the jars are missing. The message says which."""


def kafka_versions() -> tuple[str, ...]:
    """Return the Kafka versions that can be run, the oldest first: the directories of `kafka/`."""
    names = [path.parent.name for path in ASSETS.glob("*/pom.xml")]
    return tuple(sorted(filter(_VERSION.fullmatch, names), key=version_tuple))


def version_tuple(version: str) -> tuple[int, ...]:
    """Return a version as numbers, which compare as they should."""
    return tuple(map(int, version.split(".")))


def kafka_version() -> str:
    """Return the newest version, which tests run against unless they say otherwise."""
    return kafka_versions()[-1]


def assets(version: str) -> Path:
    """Return the directory with what belongs to one version.

    Raises:
        KafkaUnavailable: there is no such version.
    """
    if version not in kafka_versions():
        raise KafkaUnavailable(f"no Kafka {version} here, only {', '.join(kafka_versions())}")
    return ASSETS / version


def missing_requirements(version: str | None = None) -> str | None:
    """Say in one sentence what this machine lacks to run a broker, or None if nothing.

    Maven is only asked for while the jars have not been resolved. Nothing is downloaded.
    """
    missing = []
    if shutil.which("java") is None:
        missing.append("Java 17 or newer (no `java` on the PATH)")
    if shutil.which("mvn") is None and not _lib_directory(CACHE, version).is_dir():
        missing.append("Maven (no `mvn` on the PATH, and the Kafka jars are not resolved yet)")
    return f"this machine lacks {' and '.join(missing)}" if missing else None


def resolve_jars(cache: Path = CACHE, version: str | None = None) -> Path:
    """Return the directory with the broker's jars, downloading them on first use.

    The directory appears whole or not at all, and of several processes that ask at once one
    downloads while the others wait. Blocks for at most about `RESOLVE_TIMEOUT_S` each for
    waiting and for downloading.

    Raises:
        KafkaUnavailable: no such version; Maven is missing, failed or took too long.
    """
    version = version or kafka_version()
    pom = assets(version) / "pom.xml"
    lib = _lib_directory(cache, version)
    if lib.is_dir():
        return lib
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{lib.parent.name}.lock"):
        if not lib.is_dir():
            _download(pom, lib)
    return lib


def _lib_directory(cache: Path, version: str | None) -> Path:
    return cache / f"kafka-{version or kafka_version()}" / "lib"


def _download(pom: Path, lib: Path) -> None:
    if shutil.which("mvn") is None:
        raise KafkaUnavailable("Maven is missing (no `mvn` on the PATH)")
    final = lib.parent
    staging = Path(tempfile.mkdtemp(prefix=f"{final.name}.", dir=final.parent))
    try:
        _run_maven(pom, staging / lib.name)
        staging.chmod(0o755)
        staging.rename(final)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _run_maven(pom: Path, output: Path) -> None:
    command = ["mvn", "--quiet", "--batch-mode", "--file", str(pom)]
    command += ["dependency:copy-dependencies", "-DincludeScope=runtime"]
    command += [f"-DoutputDirectory={output}"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RESOLVE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise KafkaUnavailable(f"Maven took longer than {RESOLVE_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        raise KafkaUnavailable(f"Maven failed ({done.returncode}):\n{done.stdout[-4_000:]}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which the kernel releases if this process dies."""
    deadline = time.monotonic() + RESOLVE_TIMEOUT_S
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise KafkaUnavailable(f"waited too long for {path}") from error
                time.sleep(0.2)
        yield
