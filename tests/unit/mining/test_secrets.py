"""Where secrets come from, and that messages name the place and never the secret."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from cachesvc.errors import ConnectionUnusable
from cachesvc.mining.kafka.secrets import read_secret


def refused(variable: str | None, file: str | None) -> str:
    with pytest.raises(ConnectionUnusable) as caught:
        read_secret(variable, file, "sasl.password")
    assert caught.value.reason == "SECRET_MISSING"
    cause = caught.value.__cause__
    assert cause is None, "a cause would be shown with what it carries"
    return str(caught.value)


def test_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", " s3cret\n")
    assert read_secret("PASSWORD", None, "x") == " s3cret\n", "as it is"
    monkeypatch.setenv("PASSWORD", "rotated")
    assert read_secret("PASSWORD", None, "x") == "rotated"


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    for content, secret in (
        (b"s3cret", "s3cret"),
        (b"s3cret\n", "s3cret"),
        (b"s3cret\r\n", "s3cret"),
        (b" s3cret \n\n", " s3cret \n"),
        ("gehëim".encode(), "gehëim"),
    ):
        path.write_bytes(content)
        assert read_secret(None, str(path), "x") == secret


def test_from_nowhere() -> None:
    assert read_secret(None, None, "x") is None


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    assert "sasl.password_env: there is no environment variable NO_SUCH" in refused("NO_SUCH", None)
    monkeypatch.setenv("EMPTY", "")
    assert "EMPTY is empty" in refused("EMPTY", None)
    path = tmp_path / "password"
    assert f"sasl.password_file: {path} cannot be read: No such file" in refused(None, str(path))
    path.write_text("\n")
    assert f"{path} is empty" in refused(None, str(path))
    assert "Is a directory" in refused(None, str(tmp_path))


@pytest.mark.parametrize("content", [b"s3cret\xff", b"s3c\0ret", b"s3cret" * 20_000])
def test_what_is_no_secret_is_not_repeated(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    text = refused(None, str(path))
    assert str(path) in text
    assert "s3c" not in text.replace(str(path), "")


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(
        lambda secret: secret != "\r"
    )
)
def test_any_text_that_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, secret: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-password"
    path.write_bytes(f"{secret}\n".encode())
    assert read_secret(None, str(path), "x") == secret.removesuffix("\r")
