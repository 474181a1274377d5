"""Principals, roles and tokens, without files: a part of ``memory_catalogue.MemoryCatalogue``."""

from collections.abc import Sequence
from dataclasses import replace

from cachesvc.store.access_port import PrincipalRecord, RoleRecord, TokenRecord


class MemoryAccess:
    """``access_port.AccessKept`` in dictionaries."""

    def __init__(self) -> None:
        self._roles: dict[str, RoleRecord] = {}
        self._principals: dict[str, PrincipalRecord] = {}
        self._tokens: dict[str, TokenRecord] = {}

    def list_roles(self) -> Sequence[RoleRecord]:
        return sorted(self._roles.values(), key=lambda record: record.name)

    def put_role(self, record: RoleRecord) -> None:
        before = self._roles.get(record.name, record)
        self._roles[record.name] = replace(record, created_ms=before.created_ms)

    def delete_role(self, name: str) -> None:
        self._roles.pop(name, None)

    def list_principals(self) -> Sequence[PrincipalRecord]:
        return sorted(self._principals.values(), key=lambda record: record.name)

    def put_principal(self, record: PrincipalRecord) -> None:
        before = self._principals.get(record.name, record)
        self._principals[record.name] = replace(record, created_ms=before.created_ms)

    def delete_principal(self, name: str) -> None:
        self._principals.pop(name, None)
        self._tokens = {id: each for id, each in self._tokens.items() if each.principal != name}

    def list_tokens(self) -> Sequence[TokenRecord]:
        return sorted(self._tokens.values(), key=lambda record: (record.created_ms, record.id))

    def put_token(self, record: TokenRecord) -> None:
        self._tokens[record.id] = record

    def forget_tokens(self, ended_before_ms: int) -> None:
        left = {
            id: each for id, each in self._tokens.items() if not each.ended_before(ended_before_ms)
        }
        self._tokens = left
