"""The forms in which batches carry records, and what a frame becomes in each.

The store keeps frames as LZ4 payloads, so that form costs nothing; every other one is made from it.
"""

from enum import Enum

import msgspec

from cachesvc.model import ArrowCompression, Encoding
from cachesvc.serving.record_messages import records_body
from cachesvc.store.frames import Frame
from cachesvc.store.recoding import transcode
from cachesvc.store.record_schema import decode_payloads


class Form(Enum):
    """Encoding and compression of a stream's batches, as one."""

    RECORDS = None
    ARROW_LZ4 = ArrowCompression.LZ4
    ARROW_ZSTD = ArrowCompression.ZSTD
    ARROW_NONE = ArrowCompression.NONE

    @classmethod
    def of(cls, encoding: Encoding, compression: ArrowCompression) -> "Form":
        """The form that a subscriber means; records are never compressed."""
        return cls(compression if encoding is Encoding.ARROW_IPC else None)


class Part(msgspec.Struct, frozen=True):
    """A frame of a batch, and the bytes that stand for it there.

    Attributes:
        frame: What is delivered.
        body: Its records in the form of the batch; empty without any.
        is_file: Whether that is a Parquet file, whatever the form.
    """

    frame: Frame
    body: bytes | memoryview
    is_file: bool = False


KEPT_FORM = Form.ARROW_LZ4
"""The form of payloads in the store."""


def is_kept(frame: Frame, form: Form) -> bool:
    """Whether a frame is kept in that form, so that its body is its payload."""
    return form is KEPT_FORM or not frame.record_count


def body(frame: Frame, form: Form) -> bytes | memoryview:
    """The records of a frame in a form. Blocking, unless it is kept in that.

    Raises:
        DamagedFile: The payload does not decode.
    """
    if is_kept(frame, form):
        return frame.payload
    if form.value is None:
        return records_body(frame)
    return transcode(frame.payload, form.value)


def estimated_bytes(frame: Frame, form: Form) -> int:
    """About how large that is. Blocking; raises as ``body`` does."""
    if is_kept(frame, form):
        return len(frame.payload)
    if form is Form.ARROW_ZSTD:
        return len(frame.payload) // 2
    return int(decode_payloads([frame.payload]).nbytes)
