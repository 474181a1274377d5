"""Queries of operators."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from cachesvc.serving.ports import Queries
from cachesvc.serving.status import errors_as_status
from cachesvc.v1 import sql_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class SqlAdmin:
    """The calls of ``cachesvc.v1.Admin`` that answer SQL; see the .proto for the contract.

    Args:
        queries: Runs them.
    """

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def RunSql(
        self, request: pb.RunSqlRequest, context: Context
    ) -> AsyncIterator[pb.RunSqlResponse]:
        began_s = time.monotonic()
        async with errors_as_status(context):
            run = self._queries.run(
                request.sql, connection=request.connection, explain=request.explain
            )
            async with aclosing(run) as parts:
                async for part in parts:
                    if isinstance(part, bytes):
                        yield pb.RunSqlResponse(arrow_ipc=part)
                    elif isinstance(part, int):
                        elapsed_s = time.monotonic() - began_s
                        summary = pb.SqlSummary(rows=part, elapsed_s=elapsed_s)
                        yield pb.RunSqlResponse(summary=summary)
                    else:
                        columns = [pb.SqlColumn(name=name, type=kind) for name, kind in part]
                        yield pb.RunSqlResponse(columns=columns)
