"""Header keys as text and back, in the service and in the client."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cachesvc.client import header_key_bytes as client_key_bytes
from cachesvc.store.header_keys import header_key_bytes, header_key_text, is_escaped

# Much of what looks like the escaped form, or almost.
_LOOKALIKES = [b"bytes:", b"bytes", b":", b"%", b"%E9", b"%e9", b"%2", b"cl", b"\xe9"]
PIECES = st.sampled_from([*_LOOKALIKES, "é".encode()])
KEYS = st.one_of(st.binary(max_size=40), st.lists(PIECES, max_size=6).map(b"".join))


def _is_utf8(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(KEYS)
@example(b"bytes:")
@example(b"bytes:bytes:")
@example(b"bytes:%FF")
@example(b"bytes:bytes:%25FF")
def test_every_key_comes_back(key: bytes) -> None:
    text = header_key_text(key)

    text.encode()
    assert header_key_bytes(text) == key
    assert client_key_bytes(text) == key


@given(KEYS)
def test_a_key_is_its_own_text_where_that_is_not_ambiguous(key: bytes) -> None:
    if not _is_utf8(key):
        assert is_escaped(header_key_text(key))
    elif not is_escaped(key.decode()):
        assert header_key_text(key) == key.decode()


@given(st.lists(KEYS, unique=True, max_size=30))
def test_no_two_keys_have_one_text(keys: list[bytes]) -> None:
    assert len({header_key_text(key) for key in keys}) == len(keys)


@given(st.text(max_size=40))
def test_any_text_means_something_to_both(text: str) -> None:
    assert client_key_bytes(text) == header_key_bytes(text)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (b"traceid", "traceid"),
        ("clé".encode(), "clé"),
        (b"cl\xe9", "bytes:cl%E9"),
        (b"\xff \x00%a", "bytes:%FF%20%00%25a"),
        (b"bytes:sent", "bytes:sent"),
        (b"bytes:cl%E9", "bytes:bytes:cl%25E9"),
        (b"bytes:bytes:x", "bytes:bytes:bytes:x"),
        (b"", ""),
    ],
)
def test_texts(key: bytes, text: str) -> None:
    assert header_key_text(key) == text


def test_a_long_key_takes_no_longer_than_its_length() -> None:
    key = b"bytes:" * 100_000

    assert header_key_bytes(header_key_text(key)) == key
