"""A producer at a steady rate. A worker: `python -m tests.bench.live`."""

from __future__ import annotations

import itertools
import time

from confluent_kafka import Producer

from tests.bench.digest import Digest, Json
from tests.bench.worker import Say, serve
from tests.support.flights import flights

_FLUSH_S = 60.0


def produce(job: Json, say: Say) -> Json:
    """Write `records` flights at `rate` a second, the clock in nanoseconds as the key.

    Record n goes to partition n modulo `partitions`. The rate does not wait for anything: after
    a delay the producer writes as much as it missed. Says "prepared" before the first.
    """
    records, rate, partitions = job["records"], job["rate"], job["partitions"]
    topic = job["topic"]
    values = [value for _, value in flights(records)]
    producer = Producer(
        {
            "bootstrap.servers": job["bootstrap"],
            "compression.type": "zstd",
            "enable.idempotence": True,
            "log_level": 2,
        }
    )
    producer.list_topics(topic)
    say("prepared")
    sent = 0
    began = time.perf_counter()
    while sent < records:
        due = min(records, int((time.perf_counter() - began) * rate) + 1)
        while sent < due:
            key = b"%d" % time.time_ns()
            producer.produce(topic, values[sent], key, sent % partitions)
            sent += 1
        producer.poll(0)
        time.sleep(0.001)
    seconds = time.perf_counter() - began
    if producer.flush(_FLUSH_S):
        raise TimeoutError("the broker did not take every record")
    return {"seconds": seconds, "digest": _digest(values, partitions)}


def _digest(values: list[bytes], partitions: int) -> Json:
    digest = Digest()
    for partition in range(partitions):
        written = list(itertools.islice(values, partition, None, partitions))
        digest.add_records(partition, range(len(written)), written)
    return digest.to_json()


if __name__ == "__main__":
    serve({"produce": produce})
