"""The TLS handshake, and what the certificate says, whether or not it is good."""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from typing import Any

from cachesvc.mining.kafka.checks.findings import finding_of
from cachesvc.mining.kafka.failures import Attempt, connect_failure
from cachesvc.policy.connection_checks import Finding, failed, judge_certificate

# OpenSSL's flags that Python has no names for.
_NO_CHECK_TIME = 0x200000
_PARTIAL_CHAIN = 0x80000


async def check_tls(host: str, port: int, context: ssl.SSLContext, now_ms: int) -> Finding:
    """Shakes hands as mining would, and looks at the broker's certificate."""
    try:
        certificate, protocol = await _handshake(host, port, context)
    except (OSError, EOFError) as error:
        attempt = Attempt(host, port, tls=True)
        finding = finding_of(attempt.address, connect_failure(attempt, error))
        if isinstance(error, ssl.SSLCertVerificationError):
            shown = await _presented(host, port)
            return failed(f"{finding.detail}: {shown}", finding.hint, reason=finding.reason)
        return finding
    not_after_ms = int(ssl.cert_time_to_seconds(certificate["notAfter"]) * 1000)
    return judge_certificate(f"{protocol}, {_describe(certificate)}", not_after_ms, now_ms)


async def speaks_tls(host: str, port: int) -> bool:
    """Whether there is TLS on a port, whatever its certificate."""
    try:
        await _handshake(host, port, _unverified())
    except (OSError, EOFError) as error:
        # A server that wants another protocol version or a certificate speaks TLS as well.
        return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")
    return True


async def _handshake(
    host: str, port: int, context: ssl.SSLContext
) -> tuple[Mapping[str, Any], str]:
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        connection = writer.get_extra_info("ssl_object")
        der = connection.getpeercert(binary_form=True)
        return connection.getpeercert() or {"der": der}, connection.version()
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _presented(host: str, port: int) -> str:
    """The certificate that a broker shows, though it is not to be trusted.

    Python tells only of certificates that it has verified, so the second handshake trusts, for
    this one purpose, what the first one brought.
    """
    try:
        seen, _ = await _handshake(host, port, _unverified())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=seen["der"])
        context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME | _PARTIAL_CHAIN)
        certificate, _ = await _handshake(host, port, context)
    except (OSError, EOFError, KeyError):
        return "its certificate cannot be shown"
    names = [value for _, value in certificate.get("subjectAltName", ())]
    named = f", for {', '.join(names)}" if names else ""
    return f"{_describe(certificate)}{named}, valid until {certificate['notAfter']}"


def _describe(certificate: Mapping[str, Any]) -> str:
    subject, issuer = (_name(certificate.get(part, ())) for part in ("subject", "issuer"))
    return f"certificate of {subject}, issued by {issuer}"


def _name(parts: Any) -> str:
    short = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU"}
    pairs = [(short[key], value) for part in parts for key, value in part if key in short]
    return ", ".join(f"{key}={value}" for key, value in pairs) or "nobody"
