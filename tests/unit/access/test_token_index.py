from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.access.registry import Registry
from cachesvc.access.token_index import TokenIndex
from cachesvc.access.tokens import digest_of
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.settings.access import AccessConfig, PrincipalEntry
from cachesvc.store.access_port import TokenRecord
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.ports import Catalogue

PEER = "ipv4:10.0.0.7:4711"
PRINCIPALS = ("ops", "billing", "ci")
FEW, MANY = 10, 10_000
TIMES_MAX = 20
"""A look at every token would take a thousand times as long."""


def _record(number: int, revoked_ms: int | None = None) -> TokenRecord:
    principal = PRINCIPALS[number % len(PRINCIPALS)]
    digest = digest_of(f"token {number}")
    return TokenRecord(f"{number:08x}", principal, digest, 7 - number % 5, revoked_ms=revoked_ms)


@given(st.lists(st.tuples(st.sampled_from(["put", "revoke", "forget"]), st.integers(0, 9))))
def test_the_index_has_what_a_list_has(steps: list[tuple[str, int]]) -> None:
    index = TokenIndex()
    model: list[TokenRecord] = []
    for step, number in steps:
        record = _record(number, 99 if step == "revoke" else None)
        gone = [each for each in model if each.id == record.id]
        model = [each for each in model if each.id != record.id]
        if step == "forget":
            index.forget(gone)
        else:
            index.put(record)
            model.append(record)
        model.sort(key=lambda each: (each.created_ms, each.id))
        assert list(index.all()) == model
        for name in PRINCIPALS:
            assert list(index.of(name)) == [each for each in model if each.principal == name]
        for known in map(_record, range(10)):
            (*found,) = (each for each in model if each.id == known.id)
            assert index.with_id(known.id) == index.with_digest(known.digest)
            assert index.with_id(known.id) == (found[0] if found else None)


def test_a_call_takes_no_longer_with_ten_thousand_tokens() -> None:
    def took_s(call: Callable[[], object]) -> float:
        tries = []
        for _ in range(50):
            began_s = time.perf_counter()
            call()
            tries.append(time.perf_counter() - began_s)
        return min(tries)

    async def measured(count: int, catalogue: CatalogueThread) -> list[float]:
        def fill(port: Catalogue) -> None:
            for number in range(count):
                port.access.put_token(_record(number))

        await catalogue.call(fill)
        registry = Registry(AccessConfig(), catalogue)
        await registry.load()
        for name in PRINCIPALS:
            await registry.set_principal(PrincipalEntry(name=name, roles=("admin",)))
        await registry.set_principal(PrincipalEntry(name="task"))
        _, text = await registry.create_token("task", None)
        caller = registry.holder(text, PEER)
        assert caller is not None and registry.stands(caller)
        return [
            took_s(lambda: registry.holder(text, PEER)),
            took_s(lambda: registry.holder("cachesvc_0_wrong", PEER)),
            took_s(lambda: registry.stands(caller)),
            took_s(lambda: registry.count_valid("task")),
            took_s(lambda: registry.tokens("task")),
        ]

    found = []
    for count in (FEW, MANY):
        catalogue = CatalogueThread(MemoryCatalogue)
        try:
            found.append(asyncio.run(measured(count, catalogue)))
        finally:
            catalogue.close()
    for few_s, many_s in zip(*found, strict=True):
        assert many_s < TIMES_MAX * few_s, found
