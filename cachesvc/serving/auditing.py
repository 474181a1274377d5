"""Has every public call that changes something leave a trace, refused ones too.

Subscribe changes something now and then: it may make a subscription, or take it from somebody.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from cachesvc.audit.trail import AuditTrail
from cachesvc.client.status import DETAILS_KEY
from cachesvc.policy.changes import is_change
from cachesvc.serving.call_counting import status_name
from cachesvc.serving.calling import current_caller
from cachesvc.serving.wrapping import Context, method_of, wrapped
from cachesvc.settings.config import MASK, is_secret
from cachesvc.store.ports import SubscriptionRecord
from cachesvc.subscriptions.subscriptions import Opened

REQUEST_CHARS_MAX = 4_000
"""Of what is kept of a request."""


class Auditing(grpc.aio.ServerInterceptor):
    """Enters calls of public services; those around it know who calls, those within may refuse.

    Args:
        trail: Where.
        services: The public ones; their requests come as bytes.
    """

    def __init__(self, trail: AuditTrail, *services: ServiceDescriptor) -> None:
        self._trail = trail
        self._requests = {
            (service.full_name, method.name): GetMessageClass(method.input_type)
            for service in services
            for method in service.methods
            if is_change(method.name)
        }

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps what answers the call, if it is one that changes something."""
        handler = await continuation(handler_call_details)
        method = method_of(handler_call_details)
        kind = self._requests.get(method)
        if handler is None or kind is None:
            return handler
        return wrapped(
            handler, lambda request, context: self._entered(method[1], kind, request, context)
        )

    @asynccontextmanager
    async def _entered(
        self, call: str, kind: type[Message], request: bytes, context: Context
    ) -> AsyncIterator[Context]:
        caller = current_caller()
        caller = replace(caller, address=caller.address or context.peer())
        entry = await self._trail.begin(caller, call, shown(kind, request))
        raised: type[BaseException] | None = None
        try:
            yield context
        except BaseException as error:
            raised = type(error)
            raise
        finally:
            await self._trail.end(entry, status_name(context, raised), _reason(context))


class AuditedOpening:
    """Enters what Subscribe has done: made a subscription, changed it, or taken it over.

    Args:
        trail: Where.
    """

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    def __call__(self, opened: Opened) -> None:
        effects = _effects(opened)
        if effects:
            self._trail.note(current_caller(), "Subscribe", _as_json(effects), "OK")


def _effects(opened: Opened) -> dict[str, Any]:
    """What somebody who subscribed has done, for people; empty where nothing of it counts."""
    now = _told(opened.record)
    name = {"subscription": opened.record.name}
    if opened.before is None:
        return {**name, "effect": ["MADE"], **now}
    before = _told(opened.before)
    changed = {field: value for field, value in now.items() if value != before[field]}
    effects = ["TAKEN_OVER"] * opened.taken_over + ["CHANGED"] * bool(changed)
    if not effects:
        return {}
    was = {"before": {field: before[field] for field in changed}} if changed else {}
    return {**name, "effect": effects, **changed, **was}


def _told(record: SubscriptionRecord) -> dict[str, Any]:
    return {
        "connection": record.connection,
        "topics": record.topics,
        "topic_expression": record.topic_expression,
        "mode": record.mode.name,
        "gap_policy": record.gap_policy.name,
    }


def shown(kind: type[Message], request: bytes) -> str:
    """A request as JSON of bounded length, with whatever is named like a secret masked."""
    try:
        fields = MessageToDict(kind.FromString(request), preserving_proto_field_name=True)
    except DecodeError:
        return "{}"
    return _as_json(_masked(fields))


def _as_json(fields: Any) -> str:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= REQUEST_CHARS_MAX else f"{text[: REQUEST_CHARS_MAX - 1]}…"


def _masked(value: Any, name: str = "") -> Any:
    if is_secret(name):
        return MASK
    if isinstance(value, dict):
        return {key: _masked(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return value


def _reason(context: Context) -> str:
    """Of the refusal that a call ended with; empty without one."""
    for key, value in context.trailing_metadata() or ():
        if key == DETAILS_KEY:
            for detail in Status.FromString(value).details:
                info = ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""
