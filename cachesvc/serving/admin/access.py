"""Who may call: looking at principals, roles and tokens, and changing them."""

from typing import Any, Protocol

import grpc
import msgspec
from google.protobuf.json_format import MessageToDict

from cachesvc.access.principals import KnownPrincipal, KnownRole, parse_principal, parse_role
from cachesvc.access.registry import KnownToken, Registry
from cachesvc.serving.calling import current_caller
from cachesvc.serving.convert import timestamp
from cachesvc.serving.status import errors_as_status
from cachesvc.v1 import access_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class AccessAdmin:
    """The calls of ``cachesvc.v1.Admin`` about access; see the .proto for the contract.

    Args:
        registry: Has all of it.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def GetCaller(
        self, request: pb.GetCallerRequest, context: Context
    ) -> pb.GetCallerResponse:
        async with errors_as_status(context):
            caller = current_caller()
            return pb.GetCallerResponse(
                principal=caller.name,
                roles=caller.roles,
                proof=caller.proof.value,
                credential=caller.credential,
                expires_ms=caller.expires_ms,
            )

    async def ListRoles(
        self, request: pb.ListRolesRequest, context: Context
    ) -> pb.ListRolesResponse:
        async with errors_as_status(context):
            found = sorted(self._registry.roles.items())
            return pb.ListRolesResponse(roles=[_role(role) for _, role in found])

    async def SetRole(self, request: pb.SetRoleRequest, context: Context) -> pb.SetRoleResponse:
        async with errors_as_status(context):
            entry = parse_role(_settings(request.role, "name", "grants"))
            return pb.SetRoleResponse(role=_role(await self._registry.set_role(entry)))

    async def DeleteRole(
        self, request: pb.DeleteRoleRequest, context: Context
    ) -> pb.DeleteRoleResponse:
        async with errors_as_status(context):
            await self._registry.delete_role(request.name)
            return pb.DeleteRoleResponse()

    async def ListPrincipals(
        self, request: pb.ListPrincipalsRequest, context: Context
    ) -> pb.ListPrincipalsResponse:
        async with errors_as_status(context):
            found = sorted(self._registry.principals.items())
            return pb.ListPrincipalsResponse(
                principals=[self._principal(each) for _, each in found]
            )

    async def SetPrincipal(
        self, request: pb.SetPrincipalRequest, context: Context
    ) -> pb.SetPrincipalResponse:
        async with errors_as_status(context):
            tree = _settings(request.principal, "name", "roles", "disabled")
            tree.setdefault("disabled", self._registry.disabled(request.principal.name))
            made = await self._registry.set_principal(parse_principal(tree))
            return pb.SetPrincipalResponse(principal=self._principal(made))

    async def DeletePrincipal(
        self, request: pb.DeletePrincipalRequest, context: Context
    ) -> pb.DeletePrincipalResponse:
        async with errors_as_status(context):
            await self._registry.delete_principal(request.name)
            return pb.DeletePrincipalResponse()

    async def ListTokens(
        self, request: pb.ListTokensRequest, context: Context
    ) -> pb.ListTokensResponse:
        async with errors_as_status(context):
            found = self._registry.tokens(request.principal)
            return pb.ListTokensResponse(tokens=[_token(each) for each in found])

    async def CreateToken(
        self, request: pb.CreateTokenRequest, context: Context
    ) -> pb.CreateTokenResponse:
        async with errors_as_status(context):
            expires_ms = None
            if request.HasField("expires_ms"):
                expires_ms = timestamp("expires_ms", request.expires_ms)
            made, text = await self._registry.create_token(request.principal, expires_ms)
            return pb.CreateTokenResponse(token=_token(made), secret=text)

    async def RevokeToken(
        self, request: pb.RevokeTokenRequest, context: Context
    ) -> pb.RevokeTokenResponse:
        async with errors_as_status(context):
            return pb.RevokeTokenResponse(
                token=_token(await self._registry.revoke_token(request.id))
            )

    def _principal(self, known: KnownPrincipal) -> pb.Principal:
        return pb.Principal(
            name=known.entry.name,
            roles=known.entry.roles,
            in_file=known.made is None,
            token_count=self._registry.count_valid(known.entry.name),
            disabled=known.entry.disabled,
            **_times(known),
        )


class _Made(Protocol):
    @property
    def made(self) -> Any: ...


def _settings(message: Any, *names: str) -> dict[str, Any]:
    """What a request says of something, as JSON types; what it cannot say is left out."""
    tree: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return {name: tree[name] for name in names if name in tree}


def _role(known: KnownRole) -> pb.AccessRole:
    grants = [pb.AccessGrant(**msgspec.to_builtins(each)) for each in known.entry.grants]
    in_file = known.made is None
    return pb.AccessRole(name=known.entry.name, grants=grants, in_file=in_file, **_times(known))


def _token(known: KnownToken) -> pb.AccessToken:
    record = known.record
    return pb.AccessToken(
        id=record.id,
        principal=record.principal,
        created_ms=None if known.in_file else record.created_ms,
        expires_ms=record.expires_ms,
        revoked_ms=record.revoked_ms,
        in_file=known.in_file,
        last_used_ms=known.last_used_ms,
    )


def _times(known: _Made) -> dict[str, int]:
    if known.made is None:
        return {}
    return {"created_ms": known.made.created_ms, "updated_ms": known.made.updated_ms}
