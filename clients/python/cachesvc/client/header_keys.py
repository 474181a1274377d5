"""Header keys as text. In Kafka they are bytes; mostly, but not always, UTF-8.

A key that is UTF-8 is its own text, and so it is in the column ``headers`` of a table. Any other is
``bytes:`` and the bytes, percent-encoded: the Latin-1 bytes ``63 6c e9`` are ``bytes:cl%E9``. So
that both ways are unambiguous, a key that is UTF-8 and looks like one of those is in that form too.
"""

from urllib.parse import unquote_to_bytes

_PREFIX = "bytes:"


def header_key_bytes(text: str) -> bytes:
    """The bytes that a header's key has in Kafka, from the text that stands for them."""
    if not text.startswith(_PREFIX):
        return text.encode()
    rest = text.removeprefix(_PREFIX)
    meant = unquote_to_bytes(rest)
    return meant if rest.startswith(_PREFIX) or not _is_utf8(meant) else text.encode()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
