"""Stores as messages, and messages as stores."""

from typing import Any

from cachesvc.serving.ports import StoreState
from cachesvc.settings.stores import StoreEntry, parse_store, store_dict
from cachesvc.store.examination import StoreCheck
from cachesvc.v1 import stores_pb2 as pb

_SOURCE = "request"
_SETTINGS = frozenset(StoreEntry.__struct_fields__)


def store_message(entry: StoreEntry, **state: Any) -> pb.Store:
    """The message of a store: its settings, and the fields that requests ignore."""
    return pb.Store(**store_dict(entry), location=entry.location, **state)


def store_view(state: StoreState) -> pb.Store:
    """A store as it is now."""
    record, tested = state.record, state.tested
    count, size = state.waiting
    return store_message(
        state.entry,
        in_file=record is None,
        created_ms=record.created_ms if record else None,
        updated_ms=record.updated_ms if record else None,
        segment_count=state.segments,
        bytes=state.bytes,
        retired_file_count=state.retired_files,
        connections=state.connections,
        topics=state.topics,
        waiting_journal_count=count,
        waiting_bytes=size,
        error=state.error,
        free_bytes=state.free_bytes,
        last_test=pb.StoreTested(
            tested_ms=tested.tested_ms, failed=tested.failed, detail=tested.detail
        )
        if tested
        else None,
    )


def store_settings(message: pb.Store) -> dict[str, Any]:
    """The settings in a message as JSON types; those that are left out are not there."""
    return {field.name: value for field, value in message.ListFields() if field.name in _SETTINGS}


def entry_of(message: pb.Store, field: str = "store") -> StoreEntry:
    """The store that a request means; ``field`` is the one that has it.

    Raises:
        InvalidConfig: A setting is missing or wrong, or a path is relative.
    """
    return parse_store(store_settings(message), _SOURCE, field)


def check_message(check: StoreCheck) -> pb.StoreCheck:
    """A check as a message."""
    message = pb.StoreCheck(name=check.name, detail=check.detail, took_s=check.took_s)
    if check.works is not None:
        message.works = check.works
    return message
