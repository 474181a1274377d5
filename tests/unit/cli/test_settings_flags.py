"""What the commands for connections and for stores take alike: files, ``--set`` and ``--unset``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cachesvc.cli.connection import CONNECTIONS
from cachesvc.cli.settings_flags import Named, flat
from cachesvc.cli.stores import STORES
from cachesvc.errors import InvalidConfig


@pytest.fixture(params=[CONNECTIONS, STORES], ids=lambda kind: kind.what)
def kind(request: pytest.FixtureRequest) -> Named:
    found: Named = request.param
    return found


def test_the_table_of_that_name_counts(kind: Named, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    tables = "".join(f'[[{kind.tables}]]\nname = "{name}"\n' for name in ("a", "b"))
    file.write_text(tables)
    assert kind.from_file(file, "b") == {"name": "b"}
    with pytest.raises(InvalidConfig, match=rf"it has no \[\[{kind.tables}\]\] with name = 'c'"):
        kind.from_file(file, "c")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be read: .*; check --file"),
        ("[[", "not TOML in UTF-8"),
        ("stores = 1", "it has no"),
    ],
)
def test_a_file_that_says_nothing_is_named(
    kind: Named, tmp_path: Path, text: str | None, problem: str
) -> None:
    file = tmp_path / "c.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidConfig, match=problem) as raised:
        kind.from_file(file, "a")
    assert str(file) in str(raised.value)


def test_paths_are_those_of_the_file_or_of_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, here = tmp_path / "there" / "c.toml", tmp_path / "here"
    file.parent.mkdir()
    here.mkdir()
    file.write_text('[[stores]]\nname = "a"\npath = "cold"\n')
    monkeypatch.chdir(here)
    tree = STORES.from_file(file, "a")
    STORES.set(tree, [("secret_key_file", "key")])
    assert tree == {
        "name": "a",
        "path": str(file.parent / "cold"),
        "secret_key_file": str(here / "key"),
    }


def test_values_have_their_places(kind: Named) -> None:
    assert list(kind.parsed(["a.b=c=d", "e="])) == [("a.b", "c=d"), ("e", "")]
    tree: dict[str, Any] = {"name": "x", "flat": 1}
    kind.set(tree, [("e", ""), ("a.b", "c=d")])
    assert tree == {"name": "x", "flat": 1, "e": "", "a": {"b": "c=d"}}
    with pytest.raises(InvalidConfig, match=r"flat\.b: flat is no table"):
        kind.set(tree, [("flat.b", "c")])


@pytest.mark.parametrize("setting", ["store", "=default", ""])
def test_what_is_no_setting_with_a_value_is_refused(kind: Named, setting: str) -> None:
    with pytest.raises(InvalidConfig, match="give SETTING=VALUE"):
        list(kind.parsed([setting]))


def test_a_name_is_kept(kind: Named) -> None:
    with pytest.raises(InvalidConfig, match=f"--set name: a {kind.what} keeps its name"):
        list(kind.parsed(["name=other"]))
    with pytest.raises(InvalidConfig, match=f"--unset name: a {kind.what} keeps its name"):
        kind.unset({"name": "x"}, ["name"])


def test_settings_and_tables_are_taken_out() -> None:
    tree: dict[str, Any] = {
        "name": "x",
        "agent": "a",
        "tls": {"ca_file": "/a", "certificate_file": "/b"},
        "sasl": {"username": "u"},
    }
    CONNECTIONS.unset(tree, ["agent", "tls.ca_file", "sasl", "kerberos", "kerberos.principal"])
    assert tree == {"name": "x", "tls": {"certificate_file": "/b"}}


def test_what_there_is_not_cannot_be_taken_out(kind: Named) -> None:
    for path in ("nothing", "tls.nothing"):
        with pytest.raises(InvalidConfig, match="no such setting"):
            kind.unset({"name": "x"}, [path])


def test_settings_are_shown_by_their_paths() -> None:
    tree = {"name": "x", "tls": {"ca_file": "/a", "verify": False}, "agent": None, "hosts": ["a"]}
    shown = [("name", "x"), ("tls.ca_file", "/a"), ("tls.verify", "no"), ("hosts", "a")]
    assert list(flat(tree)) == shown
