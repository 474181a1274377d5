"""What sync tasks that copy a topic have written, held against it; kill loops over sinks share it.

Records are known by time, key and value, so these have to be different in each partition.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.faults.killing import stored
from tests.faults.stage import eventually
from tests.support.checker import Delivery, Observation, Restart, check
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import BrokerRecord, read_all

Copied = tuple[int, bytes | None, bytes | None]
"""Time in milliseconds, key, value."""
Written = Mapping[int, Sequence[Copied]]
"""What a target has of each partition, in the order in which it was written."""
_UNKNOWN = -1
_CATCH_UP_S = 300.0


@dataclass
class Copy:
    """A task and what it has written.

    Attributes:
        task: Its process.
        written: Asks its target; where nothing may be there twice, at the end only.
        once: Whether nothing may be there twice.
        moments: What the service had stored, and how much was written a little later.
    """

    task: SyncProcess
    written: Callable[[], Written]
    once: bool
    moments: list[tuple[Mapping[int, int], Mapping[int, int]]] = field(default_factory=list)

    def await_begun(self, service: ServiceProcess) -> None:
        """Returns once something is written and stored."""
        name = self.task.name
        eventually(lambda: any(stored(service, name).values()), f"the first records of {name}")

    def note(self, service: ServiceProcess) -> None:
        """Notes what must not come again from now on."""
        if not self.once:
            kept = stored(service, self.task.name)
            self.moments.append((kept, {n: len(rows) for n, rows in self.written().items()}))

    def finish(self, service: ServiceProcess, ends: Mapping[int, int]) -> None:
        """Ends the task once all is stored.

        Raises:
            AssertionError: It is not in time, or the task does not end as it should.
        """
        name = self.task.name
        try:
            eventually(lambda: stored(service, name) == ends, f"{name} to store all", _CATCH_UP_S)
        except AssertionError as error:
            found = stored(service, name)
            raise AssertionError(f"{error}, {found} of {ends}: {self.task.log[-8_000:]}") from error
        assert self.task.terminate() == 0, self.task.log

    def check(self, truth: Mapping[int, Sequence[BrokerRecord]]) -> int:
        """Nothing is lost, order is kept, and nothing is there twice that may not be.

        Returns how many records are there more than once.
        """
        repeated = 0
        found = self.written()
        for number, records in truth.items():
            offsets = {(r.timestamp_ms, r.key, r.value): r.offset for r in records}
            assert len(offsets) == len(records)
            seen = [(offsets.get(each, _UNKNOWN), each[2]) for each in found.get(number, ())]
            repeated += len(seen) - len(records)
            events = seen if self.once else list(_runs(seen))
            wrong = check(truth, [Observation(self.task.name, number, events)])
            assert not wrong, "; ".join(map(str, wrong[:5]))
            for kept, written in self.moments:
                again = [at for at, _ in seen[written.get(number, 0) :] if at < kept.get(number, 0)]
                assert not again, f"{number}@{again[0]} came again, {kept[number]} was stored"
        return repeated


def _runs(seen: Sequence[Delivery]) -> Iterator[Delivery | Restart]:
    """Says where somebody went back: what was not confirmed comes again, and all behind it."""
    last = _UNKNOWN
    for each in seen:
        if each[0] <= last:
            yield Restart(each[0])
        yield each
        last = each[0]


def of_topic(bootstrap: str, topic: str) -> Mapping[int, list[Copied]]:
    """What whoever reads committed records of a target topic gets."""
    return {
        number: [(record.timestamp_ms, record.key, record.value) for record in records]
        for number, records in read_all(bootstrap, topic).items()
    }


def of_lines(directory: Path) -> dict[int, list[Copied]]:
    """What is in files of JSON lines; a last line that is not whole is left out."""
    found: dict[int, list[Copied]] = {}
    # The one that grows has no time in its name.
    for path in sorted(directory.glob("*.jsonl"), key=lambda path: (-len(path.name), path.name)):
        content = path.read_bytes()
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            row = json.loads(line)
            value = json.dumps(row["value"]).encode()
            key = None if row["key"] is None else row["key"].encode()
            each = (row["timestamp"], key, value)
            found.setdefault(row["partition"], []).append(each)
    return found


def of_parquet(directory: Path) -> dict[int, list[Copied]]:
    """What is in Parquet files, in the order of their names."""
    found: dict[int, list[Copied]] = {}
    for path in sorted(directory.rglob("*.parquet"), key=lambda path: path.name):
        rows = pq.ParquetFile(path).read(["partition", "timestamp", "key", "value"])
        times = rows["timestamp"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
        texts = [rows[name].cast(pa.binary()) for name in ("key", "value")]
        columns = [each.to_pylist() for each in (rows["partition"], times, *texts)]
        for number, *each in zip(*columns, strict=True):
            found.setdefault(number, []).append(tuple(each))
    return found
