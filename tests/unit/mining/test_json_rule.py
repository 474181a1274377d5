import itertools
import threading
import time

import pytest

from cachesvc.mining.json_rule import DETAIL_LENGTH_MAX, check
from cachesvc.mining.nesting import NESTING_MAX
from cachesvc.model import RejectReason

NOT_AN_OBJECT = RejectReason.NOT_AN_OBJECT
MALFORMED_JSON = RejectReason.MALFORMED_JSON
INVALID_UTF8 = RejectReason.INVALID_UTF8
NESTED_TOO_DEEP = RejectReason.NESTED_TOO_DEEP
MIB = 1 << 20


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


GOOD = [
    b"{}",
    b' \t\r\n{ "a" : [ ] } \n',
    b'{"a":1,"a":2}',
    b'{"a":1e999999,"b":-0,"c":1E-5,"d":' + b"9" * 5_000 + b"}",
    b'{"a":"\\ud83d\\ude00 \\u0000 \\/"}',
    '{"ä":"€😀"}'.encode(),
    b'{"a":"\x7f"}',
    b'{"a":"' + b"x" * (10 * MIB) + b'"}',
    nested(NESTING_MAX),
]
BAD = [
    (b"", MALFORMED_JSON),
    (b"   ", MALFORMED_JSON),
    (b"[]", NOT_AN_OBJECT),
    (b"[1", MALFORMED_JSON),
    (b'"text"', NOT_AN_OBJECT),
    (b"12", NOT_AN_OBJECT),
    (b"12x", MALFORMED_JSON),
    (b"null", NOT_AN_OBJECT),
    (b"true", NOT_AN_OBJECT),
    (b"{", MALFORMED_JSON),
    (b'{"a":1,}', MALFORMED_JSON),
    (b"{'a':1}", MALFORMED_JSON),
    (b'{"a":01}', MALFORMED_JSON),
    (b'{"a":NaN}', MALFORMED_JSON),
    (b'{"a":"\n"}', MALFORMED_JSON),
    (b'{"a":"\\x"}', MALFORMED_JSON),
    (b"{}{}", MALFORMED_JSON),
    (b"{}\x00", MALFORMED_JSON),
    (b"\xef\xbb\xbf{}", MALFORMED_JSON),
    (b'{"a":"\\ud800"}', MALFORMED_JSON),
    (b'{"a":"\\udc00\\ud800"}', MALFORMED_JSON),
    (b'{"\\ud800":1}', MALFORMED_JSON),
    (b'{"a":"\xff"}', INVALID_UTF8),
    (b'{"\xff":1}', INVALID_UTF8),
    (b'{"a":"\xed\xa0\x80"}', INVALID_UTF8),
    (b'{"a":"\xc0\x80"}', INVALID_UTF8),
    (b"\xff\xfe{\x00}\x00", INVALID_UTF8),
    (b"\x00\x00\x00\x00\x01\x02", MALFORMED_JSON),
    (b'{"a":"' + b"x" * (10 * MIB), MALFORMED_JSON),
    (nested(NESTING_MAX + 1), NESTED_TOO_DEEP),
    (nested(100_000), NESTED_TOO_DEEP),
    (b"[" * 100_000, NESTED_TOO_DEEP),
    (b"[" * NESTING_MAX, MALFORMED_JSON),
]


def test_good_values_pass() -> None:
    verdict = check(GOOD)

    assert not verdict.rejects
    assert verdict.accepted is None
    assert verdict.text.to_pylist() == [value.decode() for value in GOOD]


def test_tombstones_pass_as_null() -> None:
    verdict = check([None, b"{}", None])

    assert not verdict.rejects
    assert verdict.text.to_pylist() == [None, "{}", None]


@pytest.mark.parametrize(
    ("value", "reason"), BAD, ids=[f"{n}-{reason.value}" for n, (_, reason) in enumerate(BAD)]
)
def test_bad_values_are_turned_away(value: bytes, reason: RejectReason) -> None:
    verdict = check([b"{}", None, value, b"{}"])

    (reject,) = verdict.rejects
    assert (reject.index, reject.reason) == (2, reason)
    assert 0 < len(reject.detail) <= DETAIL_LENGTH_MAX
    assert verdict.accepted == [0, 1, 3]
    assert verdict.text.to_pylist() == ["{}", None, "{}"]


def test_several_bad_values_are_found_in_their_order() -> None:
    values = list(itertools.chain.from_iterable((b"{}", value) for value, _ in BAD))

    verdict = check(values)

    assert [reject.index for reject in verdict.rejects] == list(range(1, len(values), 2))
    assert [reject.reason for reject in verdict.rejects] == [reason for _, reason in BAD]


def test_a_batch_without_a_good_value() -> None:
    verdict = check([b"[]", b""])

    assert len(verdict.rejects) == 2
    assert verdict.accepted == []
    assert len(verdict.text) == 0


def test_an_empty_batch() -> None:
    verdict = check([])

    assert not verdict.rejects
    assert len(verdict.text) == 0


def test_details_name_the_cause_and_none_of_the_content() -> None:
    secrets = [b'{"password":"hunter2"', b'["hunter2"]', b'{"a":"hunter2\xff"}', b"hunter2"]

    details = [reject.detail for reject in check(secrets).rejects]

    assert len(details) == len(secrets)
    assert not [detail for detail in details if "hunter" in detail]
    assert "byte 13" in details[2]
    assert "surrogate" in check([b'{"a":"\\ud800"}']).rejects[0].detail
    assert "empty" in check([b""]).rejects[0].detail


@pytest.mark.parametrize("frames", [0, 300, 800])
def test_the_verdict_does_not_depend_on_the_callers_stack(frames: int) -> None:
    def deeper(frames: int) -> list[tuple[int, RejectReason]]:
        if frames:
            return deeper(frames - 1)
        values = [b"{}", nested(NESTING_MAX), nested(NESTING_MAX + 1), b'{"a":[']
        return [(reject.index, reject.reason) for reject in check(values).rejects]

    found: list[object] = []
    # A thread of its own, for the depth of the test runner's stack is not ours to know.
    thread = threading.Thread(target=lambda: found.append(deeper(frames)))
    thread.start()
    thread.join()

    assert found == [[(2, NESTED_TOO_DEEP), (3, MALFORMED_JSON)]]


def test_a_wholly_bad_batch_takes_little_longer_per_record() -> None:
    began_s = time.process_time()
    verdict = check([b'{"a":' + b"x" * 400] * 20_000)

    assert len(verdict.rejects) == 20_000
    # A hundred times of what it takes, to catch what is not linear.
    assert time.process_time() - began_s < 10
