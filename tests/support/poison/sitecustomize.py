"""Makes reader processes send an append that contradicts itself, for records with a mark in them.

Python imports this at the start of every process that has this directory in PYTHONPATH. Only
processes that are readers are changed: an append is a matter of the reader's, and no input of
Kafka's makes a sound reader send a wrong one.
"""

import sys
from dataclasses import replace
from typing import Any

MARK = "append-to-be-refused"

if "reader" in sys.orig_argv:
    from cachesvc.mining import encode

    _encode_part = encode._encode_part

    def _spoilt(part: Any, verdict: Any, *, traced: bool) -> Any:
        append = _encode_part(part, verdict, traced=traced)
        if any(value and MARK.encode() in value for value in part.values):
            return replace(append, record_count=append.record_count + 1_000_000)
        return append

    encode._encode_part = _spoilt
