from __future__ import annotations

from collections.abc import Callable, Sequence

from cachesvc.serving.forms import Form, Part
from cachesvc.serving.shared_responses import SharedResponses, Told
from tests.support.frames import ORDERS, full_frame


def _told(begin: int, end: int) -> Told:
    return Told(ORDERS, begin, end, Form.ARROW_LZ4, False, None)


def _parts(begin: int, end: int) -> list[Part]:
    frame = full_frame(begin, end)
    return [Part(frame, frame.payload)]


def _body_bytes(parts: Sequence[Part]) -> int:
    return sum(len(part.body) for part in parts)


def _made(what: bytes, log: list[bytes]) -> Callable[[], bytes]:
    def make() -> bytes:
        log.append(what)
        return what

    return make


def test_the_same_parts_are_one_message() -> None:
    made: list[bytes] = []
    responses, parts = SharedResponses(), _parts(0, 5)
    first = responses.get(_told(0, 5), parts, _made(b"one", made))
    # Another stream's run, of the same frames.
    again = [Part(parts[0].frame, parts[0].body)]
    assert responses.get(_told(0, 5), again, _made(b"two", made)) is first
    assert made == [b"one"]


def test_other_bytes_of_the_same_range_are_another_message() -> None:
    made: list[bytes] = []
    responses, other = SharedResponses(), _parts(0, 5)
    responses.get(_told(0, 5), _parts(0, 5), _made(b"one", made))
    assert responses.get(_told(0, 5), other, _made(b"other", made)) == b"other"
    assert responses.kept_bytes == len(b"other") + _body_bytes(other)


def test_what_a_message_says_beside_its_records_counts() -> None:
    made: list[bytes] = []
    responses, parts = SharedResponses(), _parts(0, 5)
    told = _told(0, 5)
    for each in (told, told._replace(snapshot=True), told._replace(base_offset=3)):
        responses.get(each, parts, _made(b"message", made))
    assert len(made) == 3


def test_keeps_what_was_sent_last_within_its_bytes() -> None:
    made: list[bytes] = []
    runs = [(_told(n, n + 1), _parts(n, n + 1)) for n in range(3)]
    one_bytes = 10 + _body_bytes(runs[0][1])
    responses = SharedResponses(bytes_max=2 * one_bytes + 5)
    for told, parts in runs[:2]:
        responses.get(told, parts, _made(b"0123456789", made))
    responses.get(*runs[0], _made(b"", made))  # is kept, and was sent last now
    responses.get(*runs[2], _made(b"0123456789", made))
    assert responses.kept_bytes == 2 * one_bytes
    responses.get(*runs[0], _made(b"", made))
    assert len(made) == 3
    responses.get(*runs[1], _made(b"0123456789", made))
    assert len(made) == 4


def test_a_message_beyond_the_bytes_is_not_kept() -> None:
    responses = SharedResponses(bytes_max=5 + _body_bytes(_parts(0, 5)))
    assert responses.get(_told(0, 5), _parts(0, 5), lambda: b"012345") == b"012345"
    assert responses.kept_bytes == 0
