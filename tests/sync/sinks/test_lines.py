import json

import pyarrow as pa
import pytest

from cachesvc.sync import Changes, ChangesRefused
from cachesvc.sync.sinks.lines import envelopes, values
from cachesvc.sync.testing import changes, delete, put


def with_columns(piece: Changes, **columns: list[object]) -> Changes:
    rows = piece.rows
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else column
        for field, column in zip(rows.schema, rows.columns, strict=True)
    ]
    return piece.with_rows(pa.RecordBatch.from_arrays(arrays, schema=rows.schema))


def test_an_envelope_says_where_a_change_came_from() -> None:
    first, second = envelopes([changes([put(3, 1, note="ä\n"), delete(5, 1, of=3)], 1)]).split(
        b"\n"
    )[:-1]
    assert json.loads(first) == {
        "topic": "conformance",
        "partition": 1,
        "offset": 3,
        "timestamp": 1_700_000_000_003,
        "key": '{"id": 1000003}',
        "deleted": False,
        "value": {"id": 1000003, "partition": 1, "number": 3, "note": "ä\n"},
    }
    assert json.loads(second)["value"] is None
    assert json.loads(second)["deleted"] is True


def test_a_key_that_is_no_text_is_given_in_base64() -> None:
    piece = with_columns(changes([put(0), put(1), put(2)]), key=[b"\xff\x00", None, b'q"'])
    lines = [json.loads(line) for line in envelopes([piece]).splitlines()]
    assert [line["key"] for line in lines] == [None, None, 'q"']
    assert [line.get("key_base64") for line in lines] == ["/wA=", None, None]


def test_objects_written_over_several_lines_become_one() -> None:
    piece = with_columns(changes([put(0)]), value=['{\r\n  "a": "x\\ny"\n}'])
    assert values([piece], "refuse") == b'{    "a": "x\\ny" }\n'
    assert json.loads(envelopes([piece]))["value"] == {"a": "x\ny"}
    assert envelopes([piece]).count(b"\n") == 1


def test_values_alone_leave_deletes_out_or_refuse_them_by_name() -> None:
    pieces = [changes([put(0)]), changes([delete(1, of=0), put(2), delete(3, of=2)])]
    lines = values(pieces, "leave-out").splitlines()
    assert [json.loads(line)["number"] for line in lines] == [0, 2]
    with pytest.raises(ChangesRefused) as caught:
        values(pieces, "refuse")
    assert [(each.changes, each.row) for each in caught.value.refusals] == [(1, 0), (1, 2)]


def test_no_changes_make_no_lines() -> None:
    empty = changes([], next_position=5)
    assert (envelopes([empty]), values([empty], "refuse")) == (b"", b"")
    assert values([changes([delete(0, of=0)])], "leave-out") == b""
