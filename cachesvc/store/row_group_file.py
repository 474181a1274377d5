"""A row group as a Parquet file of its own, made of the bytes that lie in the segment.

Whoever can read Parquet gets records that way without anybody decoding them on the way: the pages
are those of the segment, only the footer is another one. So what a decoder would notice is checked
here: the checksum of every page, and what the headers of pages say, which have none, against the
segment's footer, which has one.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from cachesvc.errors import DamagedFile
from cachesvc.store.file_store import ReadableFile
from cachesvc.store.frames import Frame
from cachesvc.store.parquet_file import read_checked_footer
from cachesvc.store.thrift_compact import (
    BINARY,
    FALSE,
    I32,
    I64,
    STRUCT,
    TRUE,
    Items,
    Struct,
    read_struct,
    write_struct,
)

MAGIC = b"PAR1"
_LENGTH = struct.Struct("<I")
_ROWS, _GROUPS = 3, 4  # fields of FileMetaData
_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET = 1, 3, 5  # of RowGroup
_CHUNK_OFFSET, _CHUNK_META = 2, 3  # of ColumnChunk
_CHUNK_INDEXES = (4, 5, 6, 7)
_ENCODINGS, _VALUES, _UNCOMPRESSED, _COMPRESSED = 2, 5, 6, 7  # of ColumnMetaData
_DATA_OFFSET, _DICTIONARY_OFFSET, _ENCODING_STATS = 9, 11, 13
_COLUMN_REFERENCES = (10, 14, 15)
_PAGE_KIND, _PAGE_UNCOMPRESSED, _PAGE_COMPRESSED, _PAGE_CRC = 1, 2, 3, 4  # of PageHeader
_PAGE_VALUES, _PAGE_ENCODING = 1, 2  # of the header of a kind of page
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_PAGE_HEADERS = {_DATA_PAGE: 5, _DICTIONARY_PAGE: 7}
_DICTIONARY_VALUE_BYTES = 4  # only ``timestamp_type`` has one
_RLE = 3
_DAMAGED_HEADER = "the header of a page is damaged"
_FOUR_NUMBERS = {1: (I32,), 2: (I32,), 3: (I32,), 4: (I32,)}
_BOOLEAN = (TRUE, FALSE)
# What the headers of pages may have, by number and type; of statistics, which nobody reads, too.
_HEADER_TYPES: Mapping[int, tuple[int, ...]] = {**_FOUR_NUMBERS, 5: (STRUCT,), 7: (STRUCT,)}
_PAGE_TYPES: Mapping[int, Mapping[int, tuple[int, ...]]] = {
    _DATA_PAGE: {**_FOUR_NUMBERS, 5: (STRUCT,)},
    _DICTIONARY_PAGE: {1: (I32,), 2: (I32,), 3: _BOOLEAN},
}
_STATISTICS = 5
_STATISTICS_TYPES = {
    **dict.fromkeys((1, 2, 5, 6), (BINARY,)),
    **dict.fromkeys((3, 4), (I64,)),
    **dict.fromkeys((7, 8), _BOOLEAN),
}


@dataclass(frozen=True, slots=True)
class _Column:
    """What the footer says of a column of a row group: where it lies there, and what it has."""

    begin: int
    size: int
    uncompressed_bytes: int
    values: int
    encodings: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class RowGroupPlan:
    """How a row group becomes a file.

    Attributes:
        begin: Where it begins in the segment.
        size: How many bytes that are.
        record_count: Its records.
        footer: The file's, without its length.
        columns: What its pages are held against.
    """

    begin: int
    size: int
    record_count: int
    footer: bytes
    columns: tuple[_Column, ...]

    @property
    def file_bytes(self) -> int:
        """How large the file is."""
        return 2 * len(MAGIC) + self.size + len(self.footer) + _LENGTH.size


def read_plans(path: ReadableFile) -> tuple[RowGroupPlan, ...]:
    """How each row group of a segment becomes a file, from the footer alone. Blocking.

    Raises:
        DamagedFile: The footer's checksum does not hold.
    """
    whole, _ = read_struct(read_checked_footer(path))
    return tuple(_plan(whole, group) for group in whole.get(_GROUPS, Items(STRUCT, [])).values)


def _plan(whole: Struct, group: Struct) -> RowGroupPlan:
    metas = [column.get(_CHUNK_META) for column in group.get(_COLUMNS).values]
    begins = [meta.get(_DICTIONARY_OFFSET, meta.get(_DATA_OFFSET)) for meta in metas]
    begin = min(begins)
    end = max(at + meta.get(_COMPRESSED) for at, meta in zip(begins, metas, strict=True))
    columns = tuple(_column(meta, at - begin) for meta, at in zip(metas, begins, strict=True))
    _move(group, len(MAGIC) - begin)
    footer = Struct(dict(whole.fields))
    footer.put(_ROWS, group.get(_GROUP_ROWS))
    footer.put(_GROUPS, Items(whole.get(_GROUPS).type, [group]))
    return RowGroupPlan(begin, end - begin, group.get(_GROUP_ROWS), write_struct(footer), columns)


def _column(meta: Struct, begin: int) -> _Column:
    return _Column(
        begin,
        meta.get(_COMPRESSED),
        meta.get(_UNCOMPRESSED),
        meta.get(_VALUES),
        frozenset(
            (stat.get(1), stat.get(2))
            for stat in meta.get(_ENCODING_STATS, Items(STRUCT, [])).values
        ),
    )


def _move(group: Struct, by: int) -> None:
    """Has the places that a row group names follow its bytes."""
    if group.get(_GROUP_OFFSET):
        group.put(_GROUP_OFFSET, group.get(_GROUP_OFFSET) + by)
    group.fields.pop(7, None)  # its number among others
    for chunk in group.get(_COLUMNS).values:
        for number in _CHUNK_INDEXES:
            chunk.fields.pop(number, None)
        if chunk.get(_CHUNK_OFFSET):
            chunk.put(_CHUNK_OFFSET, chunk.get(_CHUNK_OFFSET) + by)
        meta = chunk.get(_CHUNK_META)
        for number in _COLUMN_REFERENCES:
            meta.fields.pop(number, None)
        for number in (_DATA_OFFSET, _DICTIONARY_OFFSET):
            if number in meta.fields:
                meta.put(number, meta.get(number) + by)


def read_row_group_file(
    path: ReadableFile,
    plan: RowGroupPlan,
    covered: tuple[int, int],
    first_offset: int,
    times: tuple[int, int],
) -> Frame:
    """A row group as a frame whose payload is a Parquet file. Blocking.

    Args:
        path: The segment.
        plan: Of the row group.
        covered: Its range.
        first_offset: Of its first record.
        times: The oldest and the newest timestamp.

    Raises:
        DamagedFile: A page is not as it was written.
        OSError: The system does not let it be read; FileNotFoundError where it is gone.
    """
    with path.open("rb", buffering=0) as file:
        file.seek(plan.begin)
        data = file.read(plan.size) or b""
    if len(data) != plan.size:
        raise DamagedFile(f"{path} is cut off")
    view = memoryview(data)
    for column in plan.columns:
        try:
            _check_column(view[column.begin : column.begin + column.size], column)
        except DamagedFile as error:
            raise DamagedFile(f"{path}, row group at byte {plan.begin}: {error}") from error
    payload = b"".join((MAGIC, data, plan.footer, _LENGTH.pack(len(plan.footer)), MAGIC))
    base, end = covered
    return Frame(base, end, first_offset, *times, plan.record_count, 0, payload)


def _check_column(data: memoryview, column: _Column) -> None:
    """Looks at every page of a column.

    Raises:
        DamagedFile: They are not what the footer says.
    """
    at = values = uncompressed = 0
    while at < len(data):
        header, begin = read_struct(data, at)
        page = _checked_page(header, column)
        end = begin + header.get(_PAGE_COMPRESSED)
        if write_struct(header) != data[at:begin] or not begin <= end <= len(data):
            raise DamagedFile(_DAMAGED_HEADER)
        if zlib.crc32(data[begin:end]) != header.get(_PAGE_CRC) & 0xFFFFFFFF:
            raise DamagedFile("the checksum of a page does not hold")
        if header.get(_PAGE_KIND) == _DATA_PAGE:
            values += page.get(_PAGE_VALUES)
        elif page.get(_PAGE_VALUES) * _DICTIONARY_VALUE_BYTES != header.get(_PAGE_UNCOMPRESSED):
            raise DamagedFile(_DAMAGED_HEADER)
        uncompressed += header.get(_PAGE_UNCOMPRESSED) + begin - at
        at = end
    if (values, uncompressed) != (column.values, column.uncompressed_bytes):
        raise DamagedFile("the pages of a column are not those of the footer")


def _checked_page(header: Struct, column: _Column) -> Struct:
    """What a page's header says of its kind of page; of everything, that it can be.

    Raises:
        DamagedFile: It cannot.
    """
    _check_types(header, _HEADER_TYPES)
    kind = header.get(_PAGE_KIND)
    page: Struct | None = header.get(_PAGE_HEADERS.get(kind, 0))
    if page is None or len(header.fields) != len(_FOUR_NUMBERS) + 1:
        raise DamagedFile(_DAMAGED_HEADER)
    _check_types(page, _PAGE_TYPES[kind])
    _check_types(page.get(_STATISTICS, Struct()), _STATISTICS_TYPES)
    levels = page.get(3), page.get(4)
    if _PAGE_VALUES not in page.fields or (kind == _DATA_PAGE and levels != (_RLE, _RLE)):
        raise DamagedFile(_DAMAGED_HEADER)
    if (kind, page.get(_PAGE_ENCODING)) not in column.encodings:
        raise DamagedFile("the footer knows of no such page")
    return page


def _check_types(struct: Struct, types: Mapping[int, tuple[int, ...]]) -> None:
    """Refuses fields that are not known, or have another type.

    Raises:
        DamagedFile: It has one.
    """
    for number, (kind, _) in struct.fields.items():
        if kind not in types.get(number, ()):
            raise DamagedFile(_DAMAGED_HEADER)
