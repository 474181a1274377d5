"""The contract of ``access_port.AccessKept``, for each implementation."""

from __future__ import annotations

from cachesvc.store.access_port import PrincipalRecord, RoleRecord, TokenRecord
from cachesvc.store.ports import Catalogue


def test_a_new_one_is_empty(catalogue: Catalogue) -> None:
    assert list(catalogue.access.list_roles()) == []
    assert list(catalogue.access.list_principals()) == []
    assert list(catalogue.access.list_tokens()) == []


def test_roles_are_entered_changed_and_forgotten(catalogue: Catalogue) -> None:
    catalogue.access.put_role(RoleRecord("writers", "[]", 5, 5))
    catalogue.access.put_role(RoleRecord("readers", "[]", 6, 6))
    catalogue.access.put_role(RoleRecord("readers", '[{"rights":["read"]}]', 9, 9))
    assert list(catalogue.access.list_roles()) == [
        RoleRecord("readers", '[{"rights":["read"]}]', 6, 9),
        RoleRecord("writers", "[]", 5, 5),
    ]
    for _ in range(2):
        catalogue.access.delete_role("writers")
        assert [each.name for each in catalogue.access.list_roles()] == ["readers"]


def test_principals_are_entered_and_changed(catalogue: Catalogue) -> None:
    catalogue.access.put_principal(PrincipalRecord("ops", "[]", 5, 5))
    catalogue.access.put_principal(PrincipalRecord("billing", "[]", 6, 6))
    catalogue.access.put_principal(PrincipalRecord("ops", '["admins"]', 8, 8, disabled=True))
    assert list(catalogue.access.list_principals()) == [
        PrincipalRecord("billing", "[]", 6, 6),
        PrincipalRecord("ops", '["admins"]', 5, 8, disabled=True),
    ]


def test_a_principal_goes_with_its_tokens_and_without_those_of_others(
    catalogue: Catalogue,
) -> None:
    catalogue.access.put_principal(PrincipalRecord("ops", "[]", 5, 5))
    for id_, principal in (("a", "ops"), ("b", "file"), ("c", "ops")):
        catalogue.access.put_token(TokenRecord(id_, principal, id_ * 64, 7))
    for _ in range(2):
        catalogue.access.delete_principal("ops")
        assert list(catalogue.access.list_principals()) == []
        assert [each.id for each in catalogue.access.list_tokens()] == ["b"]


def test_tokens_that_ended_before_a_time_are_forgotten_and_no_others(catalogue: Catalogue) -> None:
    ends = {
        "never": (None, None),
        "expired": (9, None),
        "expires": (10, None),
        "revoked": (None, 9),
        "revoked now": (None, 10),
        "revoked, then expired": (20, 9),
        "expired, then revoked": (5, 10),
    }
    for id_, (expires_ms, revoked_ms) in ends.items():
        catalogue.access.put_token(TokenRecord(id_, "ops", id_, 1, expires_ms, revoked_ms))
    for _ in range(2):
        catalogue.access.forget_tokens(10)
        left = {each.id for each in catalogue.access.list_tokens()}
        assert left == {"never", "expires", "revoked now", "expired, then revoked"}
    catalogue.access.put_token(TokenRecord("expired", "ops", "other", 11))
    assert "expired" in {each.id for each in catalogue.access.list_tokens()}


def test_tokens_are_listed_as_they_were_made_and_changed(catalogue: Catalogue) -> None:
    catalogue.access.put_token(TokenRecord("z", "ops", "1" * 64, 1, expires_ms=100))
    catalogue.access.put_token(TokenRecord("a", "ops", "2" * 64, 2))
    catalogue.access.put_token(TokenRecord("z", "ops", "1" * 64, 1, 100, revoked_ms=50))
    assert list(catalogue.access.list_tokens()) == [
        TokenRecord("z", "ops", "1" * 64, 1, 100, 50),
        TokenRecord("a", "ops", "2" * 64, 2, None, None),
    ]
