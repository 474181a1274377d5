"""How deep a JSON text nests, without parsing it.

The parser behind the JSON rule has a limit of its own that changes with Python's version and the
depth of the caller's stack. So that a record meets the same verdict always and everywhere, the rule
has its own, lower one.
"""

from itertools import accumulate

NESTING_MAX = 500
"""Objects and arrays within one another that a record may have."""

_BYTES_MIN = 2 * (NESTING_MAX + 1)  # of a text that closes what it opens
_NO_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'{}[]"')
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_COLLAPSES_MAX = 4


def may_nest_too_deep(text: bytes) -> bool:
    """Whether a JSON text can exceed ``NESTING_MAX``; takes no time for nearly all records."""
    return len(text) >= _BYTES_MIN and _openers(text) > NESTING_MAX


def nests_too_deep(text: bytes) -> bool:
    """Whether a text nests deeper than ``NESTING_MAX`` within the part that is JSON.

    Exact for JSON. In other text, what follows the first error may count or not, but the same text
    always gets the same answer. Linear in the length, at the speed of ``bytes.replace`` unless the
    answer is close.
    """
    if _openers(text) <= NESTING_MAX:
        return False
    brackets = _brackets_outside_strings(text)
    rest = brackets
    for collapses in range(_COLLAPSES_MAX):
        # Nothing nests deeper than it has openers, and each collapse took two levels at most.
        if _openers(rest) + 2 * collapses <= NESTING_MAX:
            return False
        rest = rest.replace(b"{}", b"").replace(b"[]", b"")
    return max(accumulate(map(_STEP.__getitem__, brackets), initial=0)) > NESTING_MAX


def _openers(text: bytes) -> int:
    return text.count(b"{") + text.count(b"[")


def _brackets_outside_strings(text: bytes) -> bytes:
    if b"\\" in text:
        # In JSON a backslash only ever begins an escape: first the escaped ones, then the quotes.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = text.translate(None, _NO_STRUCTURE)
    # An even number of quotes before a bracket means that it is outside of strings, and taking
    # away two neighbours keeps that: what is left are the strings with brackets in them.
    structure = structure.replace(b'""', b"")
    if b'"' in structure:
        structure = b"".join(structure.split(b'"')[::2])
    return structure.translate(None, _NO_BRACKETS)
