import json

import pyarrow as pa
import pytest

from cachesvc.sync import BatchRefused
from cachesvc.sync.sinks.postgres.documents import chunks, documents
from cachesvc.sync.testing import changes, put


def rows(*pairs: tuple[bytes | None, str | None]) -> pa.Table:
    keys, values = zip(*pairs, strict=True)
    return pa.table(
        {
            "key": pa.array(keys, pa.binary()),
            "value": pa.array(values, pa.string()),
            "deleted": pa.array([value is None for value in values]),
        }
    )


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        (b'{"id": 7}', {"id": 7}),
        (b' {"id":7} ', {"id": 7}),
        (b"7", {"id": 7}),
        (b"-7.5e3", {"id": -7500.0}),
        (b'"x"', {"id": "x"}),
        (b"x y", {"id": "x y"}),
        (b'say "x"\\', {"id": 'say "x"\\'}),
        (b"007", {"id": "007"}),
        (b"1e", {"id": "1e"}),
        (b"", {"id": ""}),
        ("ä".encode(), {"id": "ä"}),
    ],
)
def test_a_tombstone_has_the_key_of_its_record(key: bytes, wanted: dict[str, object]) -> None:
    found = documents(rows((b"1", '{"id":1}'), (key, None)), "id", key_from_record=False)
    assert [json.loads(text) for text in found.objects.to_pylist()] == [{"id": 1}, wanted]
    assert found.deleted.to_pylist() == [False, True]


def test_keys_of_records_that_are_no_tombstones_do_not_matter() -> None:
    table = rows((b"\xff", '{"id":1}'), (None, '{"id":2}'), (b"3", None))
    assert len(documents(table, "id", key_from_record=False)) == 3


@pytest.mark.parametrize(
    ("key", "field", "reason"),
    [
        (None, "id", "KEY_MISSING"),
        (b"\xff", "id", "KEY_NOT_TEXT"),
        (b"7", None, "KEY_NOT_OBJECT"),
    ],
)
def test_a_tombstone_whose_key_is_of_no_use(
    key: bytes | None, field: str | None, reason: str
) -> None:
    with pytest.raises(BatchRefused) as caught:
        documents(rows((key, None)), field, key_from_record=False)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        (b'{"a":1}', '{"b":2}', {"a": 1, "b": 2}),
        (b'{"a":1}', " { } ", {"a": 1}),
        (b"{}", '{"b":2}', {"b": 2}),
        (b'{"a":1}', ' {"a":9,"b":"}"} ', {"a": 1, "b": "}"}),
        (b'{"a":1}', None, {"a": 1}),
    ],
)
def test_fields_of_the_key_join_those_of_the_value(
    key: bytes, value: str | None, wanted: dict[str, object]
) -> None:
    found = documents(rows((key, value)), "a", key_from_record=True)
    # Of a field that is there twice the last one counts, for Python as for PostgreSQL.
    assert json.loads(found.objects[0].as_py()) == wanted


def test_chunks_keep_the_order_and_join_small_pieces() -> None:
    pieces = [changes([put(n) for n in range(begin, begin + 7)]) for begin in range(0, 70, 7)]
    pieces += [changes([], next_position=100), changes([put(n) for n in range(100, 25_100)])]
    found = list(chunks(pieces))
    offsets = [at for chunk in found for at in chunk.column("offset").to_pylist()]
    assert offsets == [*range(70), *range(100, 25_100)]
    assert [chunk.num_rows for chunk in found] == [1_000, 4_000, 10_000, 10_000, 70]
    assert not list(chunks([changes([], next_position=1)]))
