from __future__ import annotations

import pyarrow as pa

from cachesvc import client
from cachesvc.client.payload import ArrowPayload
from cachesvc.store.record_schema import RECORD_SCHEMA, encode_payload, join_stream
from tests.client import fake_log

KEY = ("orders", 3)


def test_client_and_service_agree_on_the_columns() -> None:
    assert client.RECORD_SCHEMA.equals(RECORD_SCHEMA)


def test_a_client_decodes_what_the_service_joins() -> None:
    records = [fake_log.record(KEY, offset) for offset in range(20)]
    whole = pa.Table.from_batches(
        ArrowPayload(pa.py_buffer(fake_log.arrow_ipc(records))).arrow_batches()
    )
    payloads = [encode_payload(batch) for batch in whole.to_batches()]
    assert len(payloads) > 1
    joined = ArrowPayload(pa.py_buffer(join_stream(payloads)))
    assert pa.Table.from_batches(joined.arrow_batches()) == whole
