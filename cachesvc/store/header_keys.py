"""Header keys as text. In Kafka they are bytes; mostly, but not always, UTF-8.

A key that is UTF-8 is its own text. Any other is ``bytes:`` and the bytes, percent-encoded: the
Latin-1 bytes ``63 6c e9`` are ``bytes:cl%E9``. So that both ways are unambiguous, a key that is
UTF-8 and looks like one of those is written in that form too. docs/store-format.md has the rule for
readers in other languages; ``cachesvc.client.header_keys`` is the same for tasks.
"""

from urllib.parse import quote_from_bytes, unquote_to_bytes

ESCAPED_PREFIX = "bytes:"
# All printable ASCII but the space and the percent sign.
_KEPT = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


def header_key_text(key: bytes) -> str:
    """The text that stands for a key. No two keys have the same."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return ESCAPED_PREFIX + quote_from_bytes(key, _KEPT)
    return ESCAPED_PREFIX + quote_from_bytes(key, _KEPT) if is_escaped(text) else text


def header_key_bytes(text: str) -> bytes:
    """The key that a text stands for: what ``header_key_text`` was given."""
    if not is_escaped(text):
        return text.encode()
    return unquote_to_bytes(text.removeprefix(ESCAPED_PREFIX))


def is_escaped(text: str) -> bool:
    """Whether a text stands for other bytes than its own."""
    if not text.startswith(ESCAPED_PREFIX):
        return False
    rest = text.removeprefix(ESCAPED_PREFIX)
    return rest.startswith(ESCAPED_PREFIX) or not _is_utf8(unquote_to_bytes(rest))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
