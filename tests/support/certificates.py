"""An authority of the tests that signs certificates: good ones, expired ones, with wrong names."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_OPENSSL_S = 30.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a certificate and its key.

    Attributes:
        certificate: The certificate alone.
        key: Its key, without a passphrase.
        both: Key and chain in one file, as Kafka takes them.
    """

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates into a directory, which it makes.

    Attributes:
        certificate: PEM file of its own certificate.
    """

    def __init__(self, directory: Path, name: str = "Tests") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = directory / "authority.key"
        self._issued = 0
        self.certificate = directory / "authority.pem"
        made = ["-keyout", str(self._key), "-out", str(self.certificate), "-days", "365"]
        _openssl("req", "-x509", *_CURVE, *made, "-subj", f"/CN={name}")

    def issue(
        self, name: str, hosts: Sequence[str] = (), days: int = 90, organization: str = ""
    ) -> Certificate:
        """Sign a certificate.

        Args:
            name: Common name, and the stem of the files.
            hosts: Names, or addresses as `IP:127.0.0.1`, that it is for.
            days: How long it is valid; one that expired yesterday has -1.
            organization: Stands in the subject before the name.
        """
        self._issued += 1
        stem = self._directory / f"{self._issued}-{name}"
        key, request, certificate, both, extensions = (
            stem.with_suffix(suffix) for suffix in (".key", ".csr", ".pem", ".both.pem", ".ext")
        )
        made = ["-keyout", str(key), "-out", str(request)]
        subject = f"/O={organization}/CN={name}" if organization else f"/CN={name}"
        _openssl("req", "-new", *_CURVE, *made, "-subj", subject)
        names = ",".join(host if ":" in host else f"DNS:{host}" for host in hosts)
        extensions.write_text(f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE")
        signer = ["-CA", str(self.certificate), "-CAkey", str(self._key)]
        signer += ["-set_serial", str(self._issued), "-days", str(days)]
        files = ["-in", str(request), "-out", str(certificate), "-extfile", str(extensions)]
        _openssl("x509", "-req", *signer, *files)
        parts = (key, certificate, self.certificate)
        both.write_text("".join(part.read_text() for part in parts))
        return Certificate(certificate, key, both)

    def cut_short(self, found: Certificate, end: datetime) -> Certificate:
        """Signs a certificate anew that ends at that time, to the second."""
        signing = load_pem_private_key(self._key.read_bytes(), None)
        issuer, before = (
            x509.load_pem_x509_certificate(file.read_bytes())
            for file in (self.certificate, found.certificate)
        )
        begin = before.not_valid_before_utc - timedelta(days=1)
        builder = x509.CertificateBuilder(issuer.subject, before.subject, before.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        signed = (
            builder.not_valid_before(begin)
            .not_valid_after(end)
            .sign(
                signing,  # type: ignore[arg-type]
                SHA256(),
            )
        )
        shorter = found.certificate.with_suffix(".short.pem")
        shorter.write_bytes(signed.public_bytes(Encoding.PEM))
        return replace(found, certificate=shorter)


def _openssl(*arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_OPENSSL_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stdout}")
