from __future__ import annotations

import json
from typing import Any

import pytest

from cachesvc.sync import Transformed
from tests.sync.transforms.making import changes, reasons_of, transform, values_of

BEFORE = '{"id":1,"price":1.50}'
AFTER = '{ "id" : 1, "price":12345678901234567890.10 }'
SOURCE = '"source":{"connector":"postgresql","lsn":24023128}'


def event(op: str, before: str = "null", after: str = "null") -> str:
    return f'{{"before":{before},"after":{after},{SOURCE},"op":"{op}","ts_ms":1700000000000}}'


def wrapped(event: str) -> str:
    return f'{{"schema":{{"type":"struct","fields":[{{"field":"op"}}]}},"payload":{event}}}'


def apply(values: list[str | None], **settings: Any) -> Transformed:
    return transform("debezium", **settings).apply(changes(values))


def deleted(done: Transformed) -> list[bool]:
    found: list[bool] = done.changes.rows.column("deleted").to_pylist()
    return found


@pytest.mark.parametrize("shape", [str, wrapped])
def test_after_becomes_the_value_and_d_a_delete(shape: Any) -> None:
    events = [
        event("c", after=AFTER),
        event("u", BEFORE, AFTER),
        event("r", after=AFTER),
        event("d", BEFORE),
        event("d"),
    ]
    done = apply([*map(shape, events), None])
    assert values_of(done) == [AFTER, AFTER, AFTER, BEFORE, None, None]
    assert deleted(done) == [False, False, False, True, True, True]
    assert done.refused == ()


def test_a_payload_of_null_is_a_tombstone() -> None:
    done = apply(['{"schema":null,"payload":null}'])
    assert (values_of(done), deleted(done)) == ([None], [True])


def test_deletes_may_be_dropped() -> None:
    done = apply([event("d", BEFORE), event("c", after=AFTER)], deletes="drop")
    assert values_of(done) == [AFTER]


NOT_ROWS = [
    '{"ts_ms":1700000000000}',
    '{"status":"BEGIN","id":"571","ts_ms":1,"event_count":null,"data_collections":null}',
    '{"source":{},"ts_ms":1,"ddl":"create table","tableChanges":[]}',
    '{"op":"m","ts_ms":1,"source":{},"message":{"prefix":"p","content":"eA=="}}',
]


@pytest.mark.parametrize("shape", [str, wrapped])
@pytest.mark.parametrize("value", NOT_ROWS)
def test_what_is_about_no_row_is_dropped_or_refused(value: str, shape: Any) -> None:
    done = apply([shape(value), event("c", after=AFTER)])
    assert (values_of(done), done.refused) == ([AFTER], ())
    assert reasons_of(apply([shape(value)], others="refuse")) == {0: "NOT_A_ROW"}


def test_truncations_are_refused_or_dropped() -> None:
    assert reasons_of(apply([event("t")])) == {0: "TRUNCATE"}
    done = apply([event("t")], truncates="drop")
    assert (len(done.changes), done.refused) == (0, ())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"id":1}', "NOT_AN_ENVELOPE"),
        ("{}", "NOT_AN_ENVELOPE"),
        ('{"op":"x","after":{}}', "NOT_AN_ENVELOPE"),
        ('{"op":1,"after":{}}', "NOT_AN_ENVELOPE"),
        ('{"payload":1}', "NOT_AN_ENVELOPE"),
        ('{"payload":{"id":1}}', "NOT_AN_ENVELOPE"),
        ('{"op":"c"}', "NO_AFTER"),
        (event("u", BEFORE), "NO_AFTER"),
        (event("c", after="[1]"), "NO_AFTER"),
    ],
)
def test_what_is_no_event_is_refused(value: str, reason: str) -> None:
    done = apply([event("c", after=AFTER), value])
    assert values_of(done) == [AFTER]
    assert reasons_of(done) == {1: reason}


def test_keys_lose_their_schema() -> None:
    keys = [
        b'{"schema":{"type":"struct"},"payload":{"id":1}}',
        b'{"id":2}',
        None,
        b'{"payload":1}',
        b'{"payload":"\xff',
    ]
    rows = changes([event("c", after=AFTER)] * 4 + [event("d")], keys=keys)
    done = transform("debezium").apply(rows)
    assert done.changes.rows.column("key").to_pylist() == [b'{"id":1}', *keys[1:]]
    done = transform("debezium", unwrap_keys=False).apply(rows)
    assert done.changes.rows.column("key").to_pylist() == keys


def test_the_key_of_a_row_stays_with_it_when_others_go() -> None:
    keys = [json.dumps({"schema": {}, "payload": number}).encode() for number in range(3)]
    rows = changes([event("t"), event("c", after=AFTER), event("d")], keys=keys)
    done = transform("debezium", truncates="drop").apply(rows)
    assert done.changes.rows.column("key").to_pylist() == [b"1", b"2"]


def test_an_earlier_step_may_have_opened_the_event() -> None:
    first = transform("rename", fields={"AFTER": "after"})
    renamed = first.apply(changes([f'{{"op":"c","AFTER":{AFTER}}}', event("d", BEFORE)])).changes
    done = transform("debezium").apply(renamed)
    assert (values_of(done), deleted(done)) == ([AFTER, BEFORE], [False, True])
