"""A service whose callers show certificates."""

from __future__ import annotations

import shutil
from pathlib import Path

import grpc

from tests.support.certificates import Authority, Certificate
from tests.support.ports import HOST
from tests.support.service import ServiceProcess


class CertificateService(ServiceProcess):
    """A service whose callers have certificates; the probe of the tests has one that names nobody.

    Args:
        directory: Its store lies there, and what it shows.
        authority: Signs everything.
        by: What of a certificate is a name.

    Attributes:
        ca: Who has signed its own certificate.
        clients: Who signs those of its callers; a file that a test may replace.
        mine: Its own certificate.
    """

    def __init__(self, directory: Path, authority: Authority, by: str) -> None:
        self._probe = authority.issue("probe")
        self.mine = authority.issue("service", ["IP:127.0.0.1"])
        self.certificate, self.key = directory / "c.pem", directory / "k.pem"
        self.ca = authority.certificate
        self.clients = directory / "clients.pem"
        self.renew(self.mine)
        self.trust(authority)
        tls = {
            "tls_certificate_file": str(self.certificate),
            "tls_key_file": str(self.key),
            "tls_client_ca_file": str(self.clients),
        }
        access = {"enabled": True, "certificate_name": by}
        super().__init__(directory, f"{HOST}:1", {"server": tls, "access": access})

    def renew(self, found: Certificate) -> None:
        """Gives the service another certificate."""
        shutil.copy(found.certificate, self.certificate)
        shutil.copy(found.key, self.key)

    def trust(self, *authorities: Authority) -> None:
        """Has these, and no others, sign the certificates of callers; the file is replaced."""
        text = "".join(each.certificate.read_text() for each in authorities)
        other = self.clients.with_suffix(".new")
        other.write_text(text)
        other.replace(self.clients)

    def channel_with(self, found: Certificate) -> grpc.Channel:
        """A connection of its own, to which this certificate is shown."""
        credentials = grpc.ssl_channel_credentials(
            self.ca.read_bytes(), found.key.read_bytes(), found.certificate.read_bytes()
        )
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.secure_channel(self.address, credentials, options=options)

    def _channel(self) -> grpc.Channel:
        return self.channel_with(self._probe)
