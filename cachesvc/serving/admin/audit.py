"""Who changed what."""

from dataclasses import asdict
from typing import Any

import grpc

from cachesvc.audit.trail import AuditTrail
from cachesvc.serving.admin.limits import checked_limit
from cachesvc.serving.convert import timestamp
from cachesvc.serving.status import errors_as_status
from cachesvc.store.audit_port import AuditFilter
from cachesvc.v1 import audit_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
_ENTRIES_DEFAULT = 1_000


class AuditAdmin:
    """The call of ``cachesvc.v1.Admin`` about the audit log; see the .proto for the contract.

    Args:
        trail: Has it.
    """

    def __init__(self, trail: AuditTrail) -> None:
        self._trail = trail

    async def ListAudit(
        self, request: pb.ListAuditRequest, context: Context
    ) -> pb.ListAuditResponse:
        async with errors_as_status(context):
            limit = checked_limit(request.limit, _ENTRIES_DEFAULT)
            since_ms = timestamp("since_ms", request.since_ms)
            wanted = AuditFilter(request.principal, request.call, since_ms)
            found = await self._trail.list(wanted, limit)
            return pb.ListAuditResponse(entries=[pb.AuditEntry(**asdict(each)) for each in found])
