"""What is made over Admin names secrets in the places for them, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cachesvc.errors import InvalidConfig
from cachesvc.settings.access import AccessConfig, secret_places
from cachesvc.settings.secret_places import SecretPlaces


@pytest.fixture
def places(tmp_path: Path) -> SecretPlaces:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / "secrets-of-others").mkdir()
    (tmp_path / "secrets" / "link").symlink_to(tmp_path / "elsewhere")
    return SecretPlaces(str(tmp_path / "secrets"), "KAFKA_")


def settings(**sasl: Any) -> dict[str, Any]:
    return {"name": "main", "sasl": {"username": "u", **sasl}}


@pytest.mark.parametrize(
    "sasl",
    [
        {},
        {"password_env": "KAFKA_PASSWORD"},
        {"password_file": "secrets/password"},
        {"password_file": "secrets/of/main"},
        {"password_file": "secrets/../secrets/password"},
        {"password_env": None},
    ],
)
def test_the_places_for_them(tmp_path: Path, places: SecretPlaces, sasl: dict[str, Any]) -> None:
    if "password_file" in sasl:
        sasl = {"password_file": str(tmp_path) + "/" + sasl["password_file"]}
    places.check(settings(**sasl), "connection")


def test_tells_all_that_lie_elsewhere(tmp_path: Path, places: SecretPlaces) -> None:
    found = {
        "name": "main",
        "bootstrap_servers": ["k:9092"],
        "tls": {"ca_file": f"{tmp_path}/secrets/ca.pem", "key_file": f"{tmp_path}/elsewhere"},
        "sasl": {"username": "u", "password_env": "HOME"},
    }
    assert places.elsewhere(found) == ["tls.key_file", "sasl.password_env"]
    assert SecretPlaces(None, None, anywhere=True).elsewhere(found) == []
    assert len(SecretPlaces(None, None).elsewhere(found)) == 3


@pytest.mark.parametrize(
    "path",
    [
        "elsewhere",
        "secrets",
        "secrets/../elsewhere",
        "secrets/link",
        "secrets-of-others/password",
    ],
)
def test_files_elsewhere(tmp_path: Path, places: SecretPlaces, path: str) -> None:
    with pytest.raises(InvalidConfig, match="put it below") as caught:
        places.check(settings(password_file=f"{tmp_path}/{path}"), "connection")
    assert caught.value.metadata == {"field": "connection.sasl.password_file"}


@pytest.mark.parametrize("variable", ["PASSWORD", "kafka_PASSWORD", "AWS_SECRET_ACCESS_KEY"])
def test_variables_of_other_names(places: SecretPlaces, variable: str) -> None:
    with pytest.raises(InvalidConfig, match="begins with KAFKA_"):
        places.check(settings(password_env=variable), "connection")


@pytest.mark.parametrize("table", ["ca_file", "certificate_file", "key_file", "keytab_file"])
def test_whatever_is_a_file_of_the_machine_counts(places: SecretPlaces, table: str) -> None:
    with pytest.raises(InvalidConfig):
        places.check({"tls": {table: "/etc/shadow"}}, "connection")


def test_nowhere_where_nobody_has_said_where() -> None:
    places = secret_places(AccessConfig(), guarded=True)
    for sasl in ({"password_env": "KAFKA_PASSWORD"}, {"password_file": "/run/password"}):
        with pytest.raises(InvalidConfig, match=r"the operator allows some with access\.secrets_"):
            places.check(settings(**sasl), "connection")


def test_anywhere_without_access_control_as_long_as_nobody_has_said_where() -> None:
    secret_places(AccessConfig(), guarded=False).check(
        settings(password_file="/etc/passwd"), "connection"
    )
    named = secret_places(AccessConfig(secrets_variable_prefix="KAFKA_"), guarded=False)
    with pytest.raises(InvalidConfig):
        named.check(settings(password_file="/etc/passwd"), "connection")
