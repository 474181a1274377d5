"""Letters become records of a topic and letters again."""

import base64

from cachesvc.mining.kafka.producing import CODECS, Columns, Form, encode
from cachesvc.mining.kafka.record_batches import KafkaBatch
from cachesvc.mining.source import SourcePartition
from cachesvc.sync.runner.letters import Letter, LetterHeader
from cachesvc.sync.sinks.kafka.kept_letters import letter_columns, letters_of


def letter(offset: int, **others: object) -> Letter:
    known: dict[str, object] = {
        "topic": "orders",
        "partition": 3,
        "incarnation": 0,
        "offset": offset,
        "stage": "sink",
        "reason": "RECORD_TOO_LARGE",
        "detail": "ümläute and more",
        "refused_ms": 1_700_000_000_123,
        "timestamp_ms": 1_600_000_000_000,
        **others,
    }
    return Letter(**known)  # type: ignore[arg-type]


def read_back(task: str, *columns: Columns) -> list[Letter]:
    found = []
    for each in columns:
        data, end = encode(each, 0, len(each), Form(CODECS["none"], 1 << 20))
        batch = KafkaBatch(SourcePartition("letters", 0), 0, end, data)
        for chunk in batch.chunks(100):
            found += [each for _, each in letters_of(task, chunk)]
    return found


def test_letters_are_read_as_they_were_kept() -> None:
    headers = (
        LetterHeader("plain", base64.b64encode(b"\xff").decode()),
        LetterHeader("bytes:cl%E9", None),
        # As if a letter of a letter's topic were refused.
        LetterHeader("cachesvc.offset", base64.b64encode(b"77").decode()),
    )
    key = base64.b64encode(b"\x00k").decode()
    letters = [
        letter(1, key_base64=key, value='{"a":"ü"}', headers=headers),
        letter(2, stage="transform", tries=3),
    ]
    assert read_back("mine", letter_columns("mine", letters)) == letters


def test_letters_of_versions_that_did_not_count_were_refused_once() -> None:
    columns = letter_columns("mine", [letter(1, tries=7)])
    assert columns.headers is not None
    counted = [[each for each in row if each[0] != "cachesvc.tries"] for row in columns.headers]
    before = Columns(columns.keys, columns.values, columns.timestamps_ms, counted)
    assert read_back("mine", before) == [letter(1)]


def test_what_others_keep_in_the_same_topic_is_left_out() -> None:
    mine, others = letter_columns("mine", [letter(1)]), letter_columns("others", [letter(2)])
    strange = Columns([b"k"], [b"v"], [5], [[("cachesvc.task", b"mine")]])
    without_headers = Columns([b"k"], [b"v"], [5])
    assert read_back("mine", mine, others, strange, without_headers) == [letter(1)]
