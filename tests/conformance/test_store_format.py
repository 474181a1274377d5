"""docs/store-format.md against the code: its tables, and its examples byte for byte."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from crc32c import crc32c

from cachesvc.model import PartitionId, RejectReason
from cachesvc.store import layout
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.frames import Frame, decode_frame, encode_frame
from cachesvc.store.journal import JournalFile
from cachesvc.store.ports import PositionCommit
from cachesvc.store.record_schema import (
    FORMAT_VERSION,
    RECORD_SCHEMA,
    REJECT_SCHEMA,
    decode_payloads,
    join_stream,
)
from tests.support.frames import (
    ORDERS,
    Record,
    Reject,
    frame,
    record,
    seal,
    table_records,
    table_rejects,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "store-format.md"
HERE = Path(__file__).parent

# What these bytes are must never change: stores that exist have them.
GOLDEN_HEADER = (
    b'CDCJRNL\n\x01\x00\x00\x00{\x00\x00\x00{"connection": "main", "topic": "orders", '
    b'"incarnation": 1, "partition": 3, "base_offset": 42, "created_ms": 1700000000000}'
    b"\x04\x1bT\xac"
)
GOLDEN_FRAME = (
    b"CDCF\x70\xc2\x6d\xce\x03\0\0\0\x01\0\0\0"
    b"\x05\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0"
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x00\x68\xe5\xcf\x8b\x01\x00\x00"
    b"\x02\0\0\0\x01\0\0\0\x01\x02\x03\xff"
)  # fmt: skip
PARTITION = PartitionId("main", "orders", 1, 3)
CREATED_MS = 1_700_000_000_000
FRAME = Frame(5, 9, 6, -1, CREATED_MS, 2, 1, b"\x01\x02\x03", b"\xff")

GOLDEN_RECORDS = [
    Record(6, '{"a":"ü"}', b"k\xff", CREATED_MS, (("h", b"v"), ("n", None)), 0),
    Record(8, None, None, -1, None, 1),
]
GOLDEN_REJECTS = [Reject(7, b"\xff", "INVALID_UTF8", "byte 0", b"k", 5, None, 0)]


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    text = DOCUMENT.read_text(encoding="utf-8")
    _, found, rest = text.partition(f" {title}\n")
    assert found, f"no section {title!r}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def tables(title: str) -> list[list[dict[str, str]]]:
    """The tables of a section, as rows by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", section(title), re.MULTILINE):
        lines = [
            [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
            for line in block.splitlines()
        ]
        head, _, *rows = lines
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def example(name: str) -> bytes:
    """The bytes of an example."""
    text = DOCUMENT.read_text(encoding="utf-8")
    match = re.search(rf"^```hex {name}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    return bytes.fromhex(match[1])


def by_table(rows: Sequence[dict[str, str]], data: bytes) -> dict[str, object]:
    """Reads bytes as a table of byte, length and type says; lengths may be names."""
    lengths: dict[str, int] = {}
    found: dict[str, object] = {}
    position = 0
    for row in rows:
        at = sum(
            int(part) if part.isdigit() else lengths[part] for part in row["byte"].split(" + ")
        )
        assert at == position, row
        length = int(row["length"]) if row["length"].isdigit() else lengths[row["length"]]
        part = data[at : at + length]
        if row["type"] == "bytes":
            found[row["field"]] = part
        else:
            kind = {"u32": "<I", "i64": "<q"}[row["type"]]
            (found[row["field"]],) = struct.unpack(kind, part)
        for name in re.findall(r"length (\w)\b", row["meaning"]):
            lengths[name] = int.from_bytes(part, "little")
        position = at + length
    assert position == len(data)
    return found


def test_the_examples_are_the_golden_bytes() -> None:
    assert example("file-header") == GOLDEN_HEADER
    assert example("frame") == GOLDEN_FRAME


def test_a_journal_begins_with_the_golden_header(tmp_path: Path) -> None:
    path = tmp_path / "00000000000000000042.journal"
    JournalFile.create(path, PARTITION, 42, CREATED_MS).close()
    assert path.read_bytes() == GOLDEN_HEADER
    path.write_bytes(GOLDEN_HEADER + GOLDEN_FRAME)
    journal, damage = JournalFile.recover(path, PARTITION)
    assert (journal.index.base_offset, journal.created_ms) == (42, CREATED_MS)
    assert "begins at offset 5, expected 42" in str(damage)


def test_the_file_header_is_as_its_table_says() -> None:
    header, identity = tables("File header")
    found = by_table(header, GOLDEN_HEADER)
    assert found["magic"] == b"CDCJRNL\n"
    assert found["format_version"] == FORMAT_VERSION == 1
    assert found["identity_bytes"] == len(GOLDEN_HEADER) - 20
    assert found["checksum"] == crc32c(GOLDEN_HEADER[:-4])
    keys = duckdb.execute("select json_keys(?)", [_text(found["identity"])]).fetchall()
    assert keys == [([row["key of `identity"] for row in identity],)]


def _text(value: object) -> str:
    assert isinstance(value, bytes)
    return value.decode()


def test_a_frame_is_the_golden_frame() -> None:
    assert b"".join(encode_frame(FRAME)) == GOLDEN_FRAME
    assert decode_frame(memoryview(GOLDEN_FRAME), 0) == FRAME


def test_a_frame_is_as_its_table_says() -> None:
    (rows,) = tables("Frame")
    found = by_table(rows, GOLDEN_FRAME)
    assert found == {
        "magic": b"CDCF",
        "checksum": crc32c(GOLDEN_FRAME[8:]),
        "payload_bytes": 3,
        "rejects_bytes": 1,
        **{each.name: getattr(FRAME, each.name) for each in fields(FRAME)},
    }


def test_the_checksum_is_the_one_named() -> None:
    assert f"{crc32c(b'123456789'):08x}" == "e3069283"
    assert "`e3069283`" in DOCUMENT.read_text(encoding="utf-8")


def test_old_payloads_decode() -> None:
    payload = bytes.fromhex((HERE / "payload-v1.hex").read_text(encoding="ascii"))
    rejects = bytes.fromhex((HERE / "rejects-v1.hex").read_text(encoding="ascii"))
    assert len(payload) % 8 == len(rejects) % 8 == 0
    assert table_records(decode_payloads([payload])) == GOLDEN_RECORDS
    assert table_rejects(decode_payloads([rejects], REJECT_SCHEMA)) == GOLDEN_REJECTS


def test_payloads_make_a_complete_stream() -> None:
    payload = bytes.fromhex((HERE / "payload-v1.hex").read_text(encoding="ascii"))
    stream = join_stream([payload, payload])
    assert stream.endswith(payload + b"\xff\xff\xff\xff\0\0\0\0")
    with pa.ipc.open_stream(stream) as reader:
        assert reader.schema.equals(RECORD_SCHEMA)
        assert table_records(reader.read_all()) == GOLDEN_RECORDS * 2


def test_damage_is_told_in_the_words_of_the_table() -> None:
    (rows,) = tables("What counts as damage")
    source = (Path(layout.__file__).parent / "frames.py").read_text(encoding="utf-8")
    source += (Path(layout.__file__).parent / "journal.py").read_text(encoding="utf-8")
    source = re.sub(r'"\s+f?"', "", source)  # messages that take two lines
    for row in rows:
        words = re.split(r" B\b|…|\[base, end\)", row["message"])
        assert all(part.strip(" `") in source for part in words), row


def test_the_columns_are_those_of_the_tables(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(0, 9, [record(1)], [Reject(2)])])
    paths = (segment.path, segment.rejects_path)
    for rows, schema, path in zip(
        tables("Columns"), (RECORD_SCHEMA, REJECT_SCHEMA), paths, strict=True
    ):
        assert [(row["column"], row["Arrow type"], row["null"]) for row in rows] == [
            (field.name, str(field.type), "yes" if field.nullable else "no") for field in schema
        ]
        assert pq.read_schema(tmp_path / path).equals(schema)
        group = pq.read_metadata(tmp_path / path).row_group(0)
        encodings = {row["column"]: row["Parquet encoding"] for row in rows}
        for number in range(group.num_columns):
            column = group.column(number)
            name = column.path_in_schema.partition(".")[0]
            assert encodings[name] in column.encodings
            assert column.compression == "ZSTD"
            assert (column.statistics is not None) == (name in ("offset", "timestamp"))


def test_the_reasons_are_those_of_the_table() -> None:
    _, rejects = tables("Columns")
    (reason,) = [row["meaning"] for row in rejects if row["column"] == "reason"]
    assert set(re.findall(r"[A-Z_0-9]{5,}", reason)) == {each.value for each in RejectReason}


def test_the_metadata_are_those_of_the_table(tmp_path: Path) -> None:
    (rows,) = tables("Metadata")
    segment = seal(tmp_path, [frame(0, 9, [record(1)])])
    metadata = pq.read_metadata(tmp_path / segment.path)
    keys = {key.decode() for key in metadata.metadata}
    assert keys == {"ARROW:schema", *(row["key"] for row in rows)}
    assert metadata.format_version == "2.6"


def test_the_name_of_a_parquet_file_has_the_checksum_of_its_footer(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(3, 9, [record(4)], [Reject(5)])])
    names = [Path(path).name for path in (segment.path, segment.rejects_path)]
    base, end, token, _ = names[0].split("-")
    assert (base, end) == (f"{3:020}", f"{9:020}")
    assert names[1].startswith(f"{base}-{end}-{token}-")
    for path in (segment.path, segment.rejects_path):
        data = (tmp_path / path).read_bytes()
        assert data[-4:] == b"PAR1"
        footer = 8 + int.from_bytes(data[-8:-4], "little")
        assert path.endswith(f"-{crc32c(data[-footer:]):08x}.parquet")


def test_the_query_of_the_document_works(tmp_path: Path) -> None:
    seal(tmp_path, [frame(0, 9, [record(1), record(3)], [Reject(2)])])
    match = re.search(r"```sql\n(.*?)```", section("Reading them with other tools"), re.DOTALL)
    assert match is not None
    query = match[1].replace("<store>", str(tmp_path))
    assert duckdb.execute(query).fetchall() == [(0, 1, "1"), (0, 3, "3")]
    query = query.replace("/log/", "/rejects/").replace("value->>'$.id'", "reason")
    assert duckdb.execute(query).fetchall() == [(0, 2, "MALFORMED_JSON")]


def test_commits_are_framed_as_the_document_says(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.duckdb"
    with closing(DuckDBCatalogue(path)) as catalogue:
        catalogue.commit_positions([PositionCommit("copies", {ORDERS: 12}, 4, True)])
        catalogue.commit_positions([PositionCommit("copies", {ORDERS: 13}, None)])
        data = path.with_name("catalogue.duckdb.positions").read_bytes()
    found = []
    while data:
        length, checksum = (int.from_bytes(data[at : at + 4], "little") for at in (0, 4))
        content, data = data[8 : 8 + length], data[8 + length :]
        assert checksum == crc32c(length.to_bytes(4, "little") + content)
        found.append(msgspec.msgpack.decode(content))
    identity = [ORDERS.connection, ORDERS.topic, ORDERS.incarnation, ORDERS.partition]
    assert found == [
        [["copies", 4, True, [[identity, 12]]]],
        [["copies", None, False, [[identity, 13]]]],
    ]


def test_the_catalogue_is_as_its_table_says(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.duckdb"
    DuckDBCatalogue(path).close()
    (rows,) = tables("Catalogue")
    table = ""
    documented: dict[str, list[tuple[str, str, bool]]] = {}
    for row in rows:
        table = row["table"] or table
        column = row["column"], row["type"], row["key"] == "key"
        documented.setdefault(table, []).append(column)
    with closing(duckdb.connect(str(path), read_only=True)) as connection:
        columns = connection.execute(
            "select table_name, column_name, data_type, is_nullable from duckdb_columns() "
            "where not internal order by column_index"
        ).fetchall()
        keys = {
            (table, column)
            for table, names in connection.execute(
                "select table_name, constraint_column_names from duckdb_constraints() "
                "where constraint_type = 'PRIMARY KEY'"
            ).fetchall()
            for column in names
        }
        (version,) = connection.execute("select format_version from meta").fetchall()
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for table, name, kind, _ in columns:
        found.setdefault(table, []).append((name, kind, (table, name) in keys))
    assert documented == found
    assert {(table, column) for table, column, _, nullable in columns if nullable} == {
        ("subscriptions", "committed_ms"),
        ("model_changes", "first_ms"),
        ("alarms", "cleared_ms"),
        ("audit", "took_ms"),
        ("access_tokens", "expires_ms"),
        ("access_tokens", "revoked_ms"),
    }
    assert version == (FORMAT_VERSION,)


def test_the_files_are_where_the_document_says(tmp_path: Path) -> None:
    text = section("Files")
    for name in (layout.LOCK, layout.CATALOGUE, "journal/", "log/", "rejects/", "quarantine/"):
        assert f"<store>/{name}" in text
    segment = seal(tmp_path, [frame(3, 9, [record(4)])])
    place = f"{ORDERS.connection}/{ORDERS.topic}/i{ORDERS.incarnation}/partition={ORDERS.partition}"
    assert Path(segment.path).parent.as_posix() == f"log/{place}"
    assert layout.journal_path(ORDERS, 3).as_posix() == f"journal/{place}/{3:020}.journal"
