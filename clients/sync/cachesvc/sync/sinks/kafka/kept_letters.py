"""Dead letters as records of a topic: what a letter becomes, and what it is made of again."""

import base64
import time
from collections.abc import Mapping, Sequence

from cachesvc.mining.kafka.producing import Columns
from cachesvc.mining.source import RecordColumns
from cachesvc.store.header_keys import header_key_text
from cachesvc.sync.runner.letters import Letter, LetterHeader
from cachesvc.sync.sinks.kafka.planning import header_key

_OURS = "cachesvc."
_HEADERS = ("task", "topic", "partition", "offset", "stage", "reason", "error", "refused_ms")
# Before all of these; letters of earlier versions have none.
_TRIES = f"{_OURS}tries"


def letter_columns(task: str, letters: Sequence[Letter]) -> Columns:
    """Letters as records: key, value and headers of the source's, and ours behind them."""
    now_ms = time.time_ns() // 1_000_000
    return Columns(
        [each.key for each in letters],
        [None if each.value is None else each.value.encode() for each in letters],
        [each.timestamp_ms if each.timestamp_ms >= 0 else now_ms for each in letters],
        [_headers(task, each) for each in letters],
    )


def letters_of(task: str, records: RecordColumns) -> list[tuple[int, Letter]]:
    """The letters of a task among records, each with its offset; all else is left out. CPU work."""
    contents = zip(records.keys, records.values, records.timestamps_ms, strict=True)
    found = []
    for offset, content, pairs in zip(
        records.offsets, contents, records.headers or (), strict=False
    ):
        ours = dict(pairs[-len(_HEADERS) :])
        told = {name: ours.get(f"{_OURS}{name}") for name in _HEADERS}
        texts = {n: text.decode(errors="replace") for n, text in told.items() if text is not None}
        if len(texts) < len(_HEADERS) or texts["task"] != task:
            continue
        theirs = pairs[: -len(_HEADERS)]
        if theirs and theirs[-1][0] == _TRIES:
            texts["tries"] = (theirs[-1][1] or b"").decode(errors="replace")
            theirs = theirs[:-1]
        found.append((offset, _letter(texts, content, theirs)))
    return found


def _letter(
    told: Mapping[str, str],
    record: tuple[bytes | None, bytes | None, int],
    headers: Sequence[tuple[str, bytes | None]],
) -> Letter:
    key, value, timestamp_ms = record
    return Letter(
        topic=told["topic"],
        partition=int(told["partition"]),
        incarnation=0,
        offset=int(told["offset"]),
        stage=told["stage"],
        reason=told["reason"],
        detail=told["error"],
        refused_ms=int(told["refused_ms"]),
        tries=int(told.get("tries", "1")),
        timestamp_ms=timestamp_ms,
        key_base64=_base64(key),
        value=None if value is None else value.decode(errors="replace"),
        headers=tuple(
            LetterHeader(header_key_text(name.encode(errors="surrogateescape")), _base64(content))
            for name, content in headers
        ),
    )


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _headers(task: str, letter: Letter) -> list[tuple[str, bytes | None]]:
    ours = (
        task,
        letter.topic,
        str(letter.partition),
        str(letter.offset),
        letter.stage,
        letter.reason,
        letter.detail,
        str(letter.refused_ms),
    )
    return [
        *((header_key(each.key, each.value), each.value) for each in letter.headers),
        (_TRIES, str(letter.tries).encode()),
        *((f"{_OURS}{name}", text.encode()) for name, text in zip(_HEADERS, ours, strict=True)),
    ]
