from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cachesvc.errors import InvalidConfig
from cachesvc.policy.callers import Grant, Right
from cachesvc.settings.access import AccessConfig, access_is_on
from cachesvc.settings.layers import Overrides, load_config

DIGEST = "ab" * 32
WHOLE = f"""
[store]
path = "store"
[[access.roles]]
name = "readers"
grants = [{{ rights = ["read", "commit"], topics = ['^shop\\..*'], subscriptions = ["b-*"] }}]
[[access.principals]]
name = "billing"
roles = ["readers", "admin"]
tokens = [{{ sha256 = "{DIGEST}", expires = 2030-01-01T00:00:00Z }}]
"""


def _load(tmp_path: Path, text: str, **env: str) -> AccessConfig:
    path = tmp_path / "x.toml"
    path.write_text(text)
    return load_config(path, env, Overrides()).access


def test_roles_and_principals_of_a_file(tmp_path: Path) -> None:
    access = _load(tmp_path, WHOLE)
    rights = frozenset({Right.READ, Right.COMMIT})
    (role,) = access.roles
    assert role.grants[0].grant() == Grant(rights, (), ("^shop\\..*",), ("b-*",))
    (principal,) = access.principals
    assert principal.roles == ("readers", "admin")
    assert principal.tokens[0].expires == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ('"readers", "admin"', '"writers"', "access.principals[0].roles"),
        ('name = "readers"', 'name = "admin"', "access.roles"),
        ("'^shop\\..*'", "'^shop('", "access.roles[0].grants[0].topics"),
        ('"commit"', '"write"', "access.roles[0].grants[0].rights[1]"),
        (DIGEST, "ab", "access.principals[0].tokens[0].sha256"),
        ("00:00Z", "00:00", "access.principals[0].tokens[0].expires"),
        ("roles = [", "role = [", "access.principals[0].role"),
    ],
)
def test_what_is_wrong_in_a_file(tmp_path: Path, before: str, after: str, field: str) -> None:
    assert before in WHOLE
    with pytest.raises(InvalidConfig) as caught:
        _load(tmp_path, WHOLE.replace(before, after))
    assert caught.value.metadata == {"field": field}


def test_a_token_is_of_one_principal(tmp_path: Path) -> None:
    other = f'\n[[access.principals]]\nname = "x"\ntokens = [{{ sha256 = "{DIGEST}" }}]\n'
    with pytest.raises(InvalidConfig, match="twice"):
        _load(tmp_path, WHOLE + other)


def test_arrays_are_not_set_by_variables(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"access\.principals are set in the file"):
        _load(tmp_path, WHOLE, CACHESVC_ACCESS__PRINCIPALS="x")
    assert _load(tmp_path, WHOLE, CACHESVC_ACCESS__ENABLED="true").enabled is True


@pytest.mark.parametrize(
    ("enabled", "listen", "insecure", "on"),
    [
        (None, "127.0.0.1:1", False, False),
        (None, "10.0.0.1:1", False, True),
        (None, "10.0.0.1:1", True, False),
        (True, "127.0.0.1:1", False, True),
        (True, "10.0.0.1:1", True, True),
        (False, "10.0.0.1:1", True, False),
    ],
)
def test_where_it_is_on(enabled: bool | None, listen: str, insecure: bool, on: bool) -> None:
    assert access_is_on(AccessConfig(enabled=enabled), ("127.0.0.1:2", listen), insecure) is on


def test_beyond_loopback_it_is_off_only_where_that_is_meant(tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).touch()
    text = '[store]\npath = "store"\n[access]\nenabled = false\n[server]\nlisten = "10.0.0.1:1"\n'
    text += 'tls_certificate_file = "c.pem"\ntls_key_file = "k.pem"\n'
    with pytest.raises(InvalidConfig) as caught:
        _load(tmp_path, text)
    assert caught.value.metadata == {"field": "access.enabled"}
    assert _load(tmp_path, text + "insecure = true\n").enabled is False
