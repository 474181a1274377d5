import pyarrow as pa

from cachesvc.client import RECORD_SCHEMA, Batch, Position, TopicPartition
from cachesvc.client.payload import ArrowPayload
from cachesvc.sync import CHANGE_SCHEMA, Changes, changes_of

OF = TopicPartition("orders", 3, 1)


def batch_of(values: list[str | None], base: int = 10) -> Batch:
    rows = [
        {
            "offset": base + number,
            "timestamp": number,
            "timestamp_type": 0,
            "key": b"k",
            "value": value,
            "headers": None,
        }
        for number, value in enumerate(values)
    ]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, RECORD_SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=RECORD_SCHEMA))
    return Batch(OF, base, base + len(values) + 5, len(values), ArrowPayload(sink.getvalue()))


def offsets(changes: Changes) -> list[int]:
    found: list[int] = changes.rows.column("offset").to_pylist()
    return found


def test_a_tombstone_is_a_delete() -> None:
    changes = changes_of(batch_of(['{"a":1}', None]))
    assert changes.rows.schema == CHANGE_SCHEMA
    assert changes.rows.column("deleted").to_pylist() == [False, True]
    assert changes.rows.column("value").to_pylist() == ['{"a":1}', None]
    assert changes.position == Position("orders", 3, 17, 1)


def test_a_batch_of_holes_has_no_rows() -> None:
    changes = changes_of(batch_of([]))
    assert (len(changes), changes.next_position) == (0, 15)
    assert changes.rows.schema == CHANGE_SCHEMA


def test_the_last_slice_alone_moves_over_the_holes_behind() -> None:
    changes = changes_of(batch_of(["{}"] * 4))
    first, last = changes.slice(0, 3), changes.slice(3, 4)
    assert (offsets(first), first.next_position) == ([10, 11, 12], 13)
    assert (offsets(last), last.next_position) == ([13], 19)
