"""Requests of every public call, with anything in them, and what may be the answer to them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import hypothesis.strategies as st
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cachesvc.v1 import admin_pb2, log_cache_pb2

ROOT = Path(__file__).parents[2]
CODES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.UNAVAILABLE,
}
"""Of refusals, whatever was asked for."""
SERVICES = [
    log_cache_pb2.DESCRIPTOR.services_by_name["LogCache"],
    admin_pb2.DESCRIPTOR.services_by_name["Admin"],
]
METHODS = [method for service in SERVICES for method in service.methods]

NOTHING: Mapping[str, Sequence[str]] = {}
_ANY_NAMES = ("", "no-such", "..", "a/b", "x" * 300, "größer", "(", ".*", "\0")
_NUMBERS = st.sampled_from([0, 1, -1, 2, 99, 1 << 30, (1 << 31) - 1, -(1 << 31)])
_LARGE = st.sampled_from([0, 1, -1, 5, 1 << 40, (1 << 63) - 1, -(1 << 63)])


def _documented() -> set[str]:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([A-Z_]+)`", text, re.MULTILINE)) - {"INTERNAL"}


DOCUMENTED = _documented()
"""Reasons of refusals."""


def names(*known: str) -> st.SearchStrategy[str]:
    """Texts: these, with which a request reaches something, and some that are none."""
    return st.sampled_from([*known, *_ANY_NAMES])


@st.composite
def messages(
    draw: st.DrawFn,
    of: Descriptor,
    texts: st.SearchStrategy[str],
    likely: Mapping[str, Sequence[str]] = NOTHING,
    depth: int = 0,
) -> Message:
    """A message with anything in some of its fields.

    Args:
        of: What it is.
        texts: What its texts often are.
        likely: What they often are in fields of that name.
        depth: How deep in another one it is.
    """
    message: Message = GetMessageClass(of)()
    for field in of.fields:
        if depth > 3 or not draw(st.booleans()):
            continue
        values = _values(field, texts, likely, depth)
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(values, max_size=3)))
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(message, field.name).CopyFrom(draw(values))
        else:
            setattr(message, field.name, draw(values))
    return message


def _values(
    field: FieldDescriptor,
    texts: st.SearchStrategy[str],
    likely: Mapping[str, Sequence[str]],
    depth: int,
) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_STRING and field.name in likely:
        known = st.sampled_from(likely[field.name])
        return known | known | texts
    kinds: Mapping[int, st.SearchStrategy[Any]] = {
        FieldDescriptor.TYPE_STRING: texts | st.text(max_size=20).filter(str.isprintable),
        FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_INT64: _LARGE,
        FieldDescriptor.TYPE_INT32: _NUMBERS,
        FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
        FieldDescriptor.TYPE_ENUM: st.sampled_from([0, 1, 2, 3, 77, -1]),
        FieldDescriptor.TYPE_DOUBLE: st.floats(),
    }
    if field.message_type is not None:
        return messages(field.message_type, texts, likely, depth + 1)
    return kinds[field.type]
