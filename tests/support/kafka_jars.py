"""The jars of the Kafka broker that the tests run, resolved once by Maven.

Only the standard library is used, so that a script can start a broker with any Python.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

ASSETS = Path(__file__).resolve().parent / "kafka"
CACHE = Path(__file__).resolve().parents[2] / ".cache"
RESOLVE_TIMEOUT_S = 600.0
_POM = ASSETS / "pom.xml"
_NAMESPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


class KafkaUnavailable(RuntimeError):
    """No broker can run here: Java, Maven or the jars are missing. The message says which."""


def kafka_version() -> str:
    """Return the Kafka version that `kafka/pom.xml` pins."""
    version = ElementTree.parse(_POM).findtext("m:properties/m:kafka.version", None, _NAMESPACE)
    if version is None:
        raise KafkaUnavailable(f"{_POM} has no property kafka.version")
    return version


def missing_requirements() -> str | None:
    """Say in one sentence what this machine lacks to run a broker, or None if nothing.

    Maven is only asked for while the jars have not been resolved. Nothing is downloaded.
    """
    missing = []
    if shutil.which("java") is None:
        missing.append("Java 17 or newer (no `java` on the PATH)")
    if shutil.which("mvn") is None and not _lib_directory(CACHE).is_dir():
        missing.append("Maven (no `mvn` on the PATH, and the Kafka jars are not resolved yet)")
    return f"this machine lacks {' and '.join(missing)}" if missing else None


def resolve_jars(cache: Path = CACHE) -> Path:
    """Return the directory with the broker's jars, downloading them on first use.

    The directory appears whole or not at all, and of several processes that ask at once one
    downloads while the others wait. Blocks for at most about `RESOLVE_TIMEOUT_S` each for
    waiting and for downloading.

    Raises:
        KafkaUnavailable: Maven is missing, failed or took too long.
    """
    lib = _lib_directory(cache)
    if lib.is_dir():
        return lib
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{lib.parent.name}.lock"):
        if not lib.is_dir():
            _download(lib)
    return lib


def _lib_directory(cache: Path) -> Path:
    return cache / f"kafka-{kafka_version()}" / "lib"


def _download(lib: Path) -> None:
    if shutil.which("mvn") is None:
        raise KafkaUnavailable("Maven is missing (no `mvn` on the PATH)")
    final = lib.parent
    staging = Path(tempfile.mkdtemp(prefix=f"{final.name}.", dir=final.parent))
    try:
        _run_maven(staging / lib.name)
        staging.chmod(0o755)
        staging.rename(final)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _run_maven(output: Path) -> None:
    command = ["mvn", "--quiet", "--batch-mode", "--file", str(_POM)]
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
def _locked(path: Path) -> Iterator[None]:
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
