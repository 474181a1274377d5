"""Names in the certificates of clients, which TLS has verified already."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cryptography import x509
from cryptography.x509.oid import NameOID

CertificateName = Literal["common_name", "subject", "san"]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What is looked at of a certificate.

    Attributes:
        names: Whom it may be of, in order.
        serial: Its serial number, in hexadecimal.
        begins_ms: From when on it is valid.
        expires_ms: From when on it is not.
    """

    names: tuple[str, ...]
    serial: str
    begins_ms: int
    expires_ms: int


@lru_cache(maxsize=1_024)
def read_certificate(pem: bytes, by: CertificateName) -> ClientCertificate:
    """Reads one.

    Args:
        pem: The certificate.
        by: What of it is a name: the common name of its subject, all of its subject as RFC 4514
            writes it, or each DNS name, address of mail and URI among its alternative names.

    Raises:
        ValueError: It is none that can be read.
    """
    found = x509.load_pem_x509_certificate(pem)
    return ClientCertificate(
        _names(found, by),
        f"{found.serial_number:x}",
        int(found.not_valid_before_utc.timestamp() * 1_000),
        int(found.not_valid_after_utc.timestamp() * 1_000),
    )


def _names(certificate: x509.Certificate, by: CertificateName) -> tuple[str, ...]:
    if by == "subject":
        return (certificate.subject.rfc4514_string(),)
    if by == "common_name":
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(each.value) for each in common)
    try:
        kind = x509.SubjectAlternativeName
        alternatives = certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return ()
    names = (x509.UniformResourceIdentifier, x509.DNSName, x509.RFC822Name)
    return tuple(str(each.value) for each in alternatives if isinstance(each, names))
