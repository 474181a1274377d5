"""Tokens, found by what is asked for: none is looked at for the sake of another one."""

from collections.abc import Iterable, Sequence

from cachesvc.store.access_port import TokenRecord


class TokenIndex:
    """Tokens by digest, by id and by principal.

    Args:
        records: Those that are there from the start.
    """

    def __init__(self, records: Iterable[TokenRecord] = ()) -> None:
        self._by_digest: dict[str, TokenRecord] = {}
        self._by_id: dict[str, TokenRecord] = {}
        self._of: dict[str, dict[str, TokenRecord]] = {}
        for record in records:
            self.put(record)

    def put(self, record: TokenRecord) -> None:
        """Enters one, or changes the one of that id; its digest and its principal stay."""
        self._by_digest[record.digest] = self._by_id[record.id] = record
        self._of.setdefault(record.principal, {})[record.id] = record

    def with_digest(self, digest: str) -> TokenRecord | None:
        """The one of that digest."""
        return self._by_digest.get(digest)

    def with_id(self, id_: str) -> TokenRecord | None:
        """The one of that id."""
        return self._by_id.get(id_)

    def of(self, principal: str) -> Sequence[TokenRecord]:
        """Those of a principal, by age."""
        return _by_age(self._of.get(principal, {}).values())

    def all(self) -> Sequence[TokenRecord]:
        """All of them, by age."""
        return _by_age(self._by_id.values())

    def forget(self, records: Iterable[TokenRecord]) -> None:
        """Has these no more."""
        for record in records:
            del self._by_digest[record.digest], self._by_id[record.id]
            mine = self._of[record.principal]
            del mine[record.id]
            if not mine:
                del self._of[record.principal]


def _by_age(records: Iterable[TokenRecord]) -> Sequence[TokenRecord]:
    return sorted(records, key=lambda record: (record.created_ms, record.id))
