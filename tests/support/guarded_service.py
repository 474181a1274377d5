"""A service with access control, and the token of somebody who may do everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from cachesvc.access.tokens import digest_of, new_token
from cachesvc.v1 import access_pb2 as pb
from cachesvc.v1 import admin_pb2, admin_pb2_grpc
from tests.support.service import ServiceProcess

OF_FILE = new_token("0001")


class GuardedService(ServiceProcess):
    """A service with access control whose file has one principal, ``ops``, with ``OF_FILE``."""

    def _toml(
        self,
        settings: Mapping[str, Mapping[str, Any]],
        connections: Sequence[Mapping[str, Any]],
    ) -> str:
        text = super()._toml({"access": {"enabled": True}, **settings}, connections)
        return f"{text}\n[[access.principals]]\n" + "\n".join(
            [
                'name = "ops"',
                'roles = ["admin"]',
                f'tokens = [{{ sha256 = "{digest_of(OF_FILE)}" }}]',
                "",
            ]
        )

    def run_job(self, name: str) -> None:
        """Runs a job to its end, as ``ops``."""
        answers = self._as_ops("RunJob", admin_pb2.RunJobRequest(name=name))
        assert answers[-1].run.succeeded, answers[-1]

    def make_token(self, name: str, grant: Mapping[str, Any]) -> str:
        """The token of a new principal, with a role of its own that has this grant."""
        role = pb.AccessRole(name=name, grants=[pb.AccessGrant(**grant)])
        self._as_ops("SetRole", pb.SetRoleRequest(role=role))
        principal = pb.Principal(name=name, roles=[name])
        self._as_ops("SetPrincipal", pb.SetPrincipalRequest(principal=principal))
        made = self._as_ops("CreateToken", pb.CreateTokenRequest(principal=name))
        return str(made.secret)

    def _as_ops(self, call: str, request: Any) -> Any:
        metadata = (("authorization", f"Bearer {OF_FILE}"),)
        with grpc.insecure_channel(self.address) as channel:
            stub: Any = admin_pb2_grpc.AdminStub(channel)
            answer = getattr(stub, call)(request, timeout=60, metadata=metadata)
            return list(answer) if call == "RunJob" else answer
