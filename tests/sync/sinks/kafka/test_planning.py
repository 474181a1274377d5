"""What a delivery becomes for the partitions of a target."""

import pyarrow as pa
import pytest

from cachesvc.mining.kafka.producing import CODECS, ArrowColumns, Form, Part, TargetTopic, encode
from cachesvc.mining.kafka.record_batches import KafkaBatch
from cachesvc.mining.source import SourcePartition
from cachesvc.sync import TargetFailed
from cachesvc.sync.sinks.kafka.partitioning import partitions_of
from cachesvc.sync.sinks.kafka.planning import columns_of, known_refusals, plan, suspects
from tests.support.deliveries import changes, counted, delivery, row

# By Kafka's own client: org.apache.kafka.common.utils.UtilsTest.testMurmur2.
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
COUNT = 1009


def topic(partitions: int, **others: object) -> TargetTopic:
    return TargetTopic("copy", partitions, 1, 1, **others)  # type: ignore[arg-type]


def keys_of(part: Part) -> list[bytes | None]:
    columns = part.columns
    assert isinstance(columns, ArrowColumns), "none of them has headers"
    keys: list[bytes | None] = columns.keys.to_pylist()
    return keys


def test_hashes_are_those_of_kafka() -> None:
    keys = [*MURMUR2, None, b""]
    # A slice, so that what is hashed does not begin where its buffers do.
    array = pa.array([b"before", *keys], pa.binary()).slice(1)
    found = partitions_of(array, COUNT, 3).to_pylist()
    meant = [(number & 0x7FFF_FFFF) % COUNT for number in MURMUR2.values()]
    assert found[: len(meant)] == meant
    assert found[len(meant)] == 3
    assert found[-1] == (275646681 & 0x7FFF_FFFF) % COUNT
    assert set(partitions_of(array, 1, 0).to_pylist()) == {0}


def test_keys_split_changes_in_order_and_rows_are_found_again() -> None:
    rows = [row(n, key=b"k%d" % (n % 5)) for n in range(40)]
    written = delivery(changes("o", 0, []), changes("o", 1, rows), changes("o", 1, [row(99)]))
    made = plan(written, {"o": topic(3)}, by_key=True, timestamp_ms=None)
    assert sum(len(part.columns) for part in made.parts) == 41
    for number, part in enumerate(made.parts):
        assert part.partition.topic == "copy"
        places = [made.origin(number, place) for place in range(len(part.columns))]
        assert places == sorted(places), "in the order in which they came"
        for (of, place), key in zip(places, keys_of(part), strict=True):
            assert written.changes[of].rows.column("key")[place].as_py() == key
    by_key = {key: p.partition for p in made.parts for key in keys_of(p)}
    assert len(by_key) == 6


def test_numbers_of_partitions_are_kept() -> None:
    written = delivery(changes("o", 2, counted(0, 3)), changes("o", 0, counted(5, 6)))
    made = plan(written, {"o": topic(3)}, by_key=False, timestamp_ms=7)
    assert [part.partition.number for part in made.parts] == [2, 0]
    assert list(made.parts[0].columns.timestamps_ms) == [7, 7, 7]
    with pytest.raises(TargetFailed):
        plan(written, {"o": topic(2)}, by_key=False, timestamp_ms=None)


def test_headers_have_their_own_bytes_on_the_wire() -> None:
    headers = [{"key": "bytes:cl%E9", "value": b"1"}, {"key": "ü", "value": None}]
    columns = columns_of([changes("o", 0, [row(0, headers=headers), row(1)]).rows])
    form = Form(CODECS["none"], 1 << 20, 5, 1, is_transactional=True)
    data, end = encode(columns, 0, 2, form, sequence=9)
    assert end == 2
    (chunk,) = KafkaBatch(SourcePartition("o", 0), 0, 2, data).chunks(10)
    assert chunk.headers is not None
    assert [[(key, value) for key, value in pairs] for pairs in chunk.headers] == [
        [("cl\udce9", b"1"), ("ü", None)],
        [],
    ]
    assert chunk.keys == [b"k0", b"k1"]


def test_batches_end_where_they_are_full_and_hold_one_record_at_least() -> None:
    columns = columns_of([changes("o", 0, counted(0, 100)).rows])
    small = Form(CODECS["none"], 600)
    ends = [0]
    while ends[-1] < 100:
        data, end = encode(columns, ends[-1], 100, small)
        assert len(data) <= 600
        ends.append(end)
    assert len(ends) > 3
    assert encode(columns, 7, 100, Form(CODECS["none"], 1))[1] == 8


def test_what_a_topic_refuses_is_known_before() -> None:
    rows = [row(0), row(1, key=None), row(2, '"' + "x" * 5_000 + '"')]
    written = delivery(changes("o", 0, [row(9)]), changes("p", 0, rows))
    topics = {"o": topic(1), "p": topic(1, bytes_max=4_000, compacted=True)}
    (refusal,) = known_refusals(written, topics)
    assert (refusal.changes, refusal.row, refusal.reason) == (1, 1, "INVALID_RECORD")
    assert suspects(written, topics) == [(1, 2)]
