"""Trying a connection, stored or not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from cachesvc.errors import InvalidRequest
from cachesvc.policy.connection_checks import CheckResult, CheckStatus
from cachesvc.serving.connection_messages import connection_of
from cachesvc.serving.ports import ConnectionTester
from cachesvc.serving.status import errors_as_status
from cachesvc.settings.connection import ConnectionConfig, connection_dict
from cachesvc.settings.secret_places import SecretPlaces
from cachesvc.v1 import connection_test_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
TIMEOUT_DEFAULT_S = 10.0
_TIMEOUT_MAX_S = 300.0
_STATUS = {
    CheckStatus.PASSED: pb.CHECK_PASSED,
    CheckStatus.WARNING: pb.CHECK_WARNING,
    CheckStatus.FAILED: pb.CHECK_FAILED,
    CheckStatus.SKIPPED: pb.CHECK_SKIPPED,
}


class ConnectionTestAdmin:
    """The call of ``cachesvc.v1.Admin`` that tests connections; see the .proto for the contract.

    Args:
        find: The connection of a name, or the only one for an empty name. Raises NotFound,
            InvalidRequest.
        examine: Makes the checks.
        cluster_of: The id of the cluster that the logs of a connection of that name are of.
        places: Where secrets may lie of what is not stored.
    """

    def __init__(
        self,
        find: Callable[[str], ConnectionConfig],
        examine: ConnectionTester,
        cluster_of: Callable[[str], str],
        places: SecretPlaces,
    ) -> None:
        self._places = places
        self._find = find
        self._examine = examine
        self._cluster_of = cluster_of

    async def TestConnection(
        self, request: pb.TestConnectionRequest, context: Context
    ) -> AsyncIterator[pb.TestConnectionResponse]:
        async with errors_as_status(context):
            limit_s = request.timeout_s or TIMEOUT_DEFAULT_S
            if not 0 < limit_s <= _TIMEOUT_MAX_S:
                raise InvalidRequest(
                    f"timeout_s: {limit_s:g} is not above 0 and at most {_TIMEOUT_MAX_S:g}"
                )
            connection = await self._meant(request)
            cluster_id = self._cluster_of(connection.name)
            async with aclosing(self._examine(connection, limit_s, cluster_id)) as results:
                async for result in results:
                    yield pb.TestConnectionResponse(check=check_message(result))

    async def _meant(self, request: pb.TestConnectionRequest) -> ConnectionConfig:
        if request.HasField("settings"):
            config = connection_of(request.settings, "settings")
            await asyncio.to_thread(self._places.check, connection_dict(config), "settings")
            return config
        return self._find(request.name)


def check_message(result: CheckResult) -> pb.ConnectionCheck:
    """A result as a message."""
    finding = result.finding
    return pb.ConnectionCheck(
        name=result.check.value,
        status=_STATUS[finding.status],
        detail=finding.detail,
        hint=finding.hint,
        reason=finding.reason,
        took_s=result.took_s,
    )
