from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from cachesvc.errors import InvalidConfig
from cachesvc.serving.tls import TlsFiles, TlsPaths
from tests.support.certificates import Authority, Certificate


def _put(certificate: Certificate, directory: Path) -> TlsPaths:
    paths = TlsPaths(str(directory / "c.pem"), str(directory / "k.pem"))
    shutil.copy(certificate.certificate, paths.certificate)
    shutil.copy(certificate.key, paths.key)
    return paths


def test_what_does_not_fit_is_not_taken_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path / "ca")
    first, second = authority.issue("a"), authority.issue("b")
    paths = _put(first, tmp_path)
    files = TlsFiles(paths)
    caplog.set_level(logging.INFO)

    def events() -> list[str]:
        return [str(getattr(record, "event", "")) for record in caplog.records]

    files.look()
    assert events() == []
    shutil.copy(second.certificate, paths.certificate)
    for _ in range(2):
        files.look()
        assert events() == ["tls_unusable"]
    shutil.copy(second.key, paths.key)
    for _ in range(2):
        files.look()
        assert events() == ["tls_unusable", "tls_renewed"]
    Path(paths.key).unlink()
    files.look()
    assert events()[2:] == ["tls_unusable"]


@pytest.mark.parametrize("wrong", ["certificate", "key", "client_ca"])
@pytest.mark.parametrize("text", [None, "no PEM"])
def test_what_cannot_be_read_is_named(tmp_path: Path, wrong: str, text: str | None) -> None:
    found = _put(Authority(tmp_path / "ca").issue("a"), tmp_path)
    client_ca = str(tmp_path / "ca" / "authority.pem")
    file = tmp_path / "wrong.pem"
    if text is not None:
        file.write_text(text)
    named = {"certificate": found.certificate, "key": found.key, "client_ca": client_ca}
    with pytest.raises(InvalidConfig, match=r"wrong\.pem"):
        TlsFiles(TlsPaths(**{**named, wrong: str(file)}))
