"""Principals, roles and tokens, in tables of ``catalogue.DuckDBCatalogue``."""

from collections.abc import Sequence
from dataclasses import astuple

from cachesvc.store.access_port import PrincipalRecord, RoleRecord, TokenRecord
from cachesvc.store.execution import Tables


class AccessTables(Tables):
    """``access_port.AccessKept``; see there for the contract."""

    def list_roles(self) -> Sequence[RoleRecord]:
        return [RoleRecord(*row) for row in self._run("list_roles")]

    def put_role(self, record: RoleRecord) -> None:
        self._run("put_role", *astuple(record))

    def delete_role(self, name: str) -> None:
        self._run("delete_role", name)

    def list_principals(self) -> Sequence[PrincipalRecord]:
        return [PrincipalRecord(*row) for row in self._run("list_principals")]

    def put_principal(self, record: PrincipalRecord) -> None:
        self._run("put_principal", *astuple(record))

    def delete_principal(self, name: str) -> None:
        with self._transaction():
            self._run("delete_principal", name)
            self._run("delete_tokens", name)

    def list_tokens(self) -> Sequence[TokenRecord]:
        return [TokenRecord(*row) for row in self._run("list_tokens")]

    def put_token(self, record: TokenRecord) -> None:
        self._run("put_token", *astuple(record))

    def forget_tokens(self, ended_before_ms: int) -> None:
        self._run("forget_tokens", ended_before_ms)
