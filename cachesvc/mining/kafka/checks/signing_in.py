"""Whether a broker lets us in, and which requests it knows."""

import asyncio
from collections.abc import Mapping

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import SaslHandShakeRequest

from cachesvc.errors import CacheError, SourceUnreachable
from cachesvc.mining.kafka.checks.findings import finding_of
from cachesvc.mining.kafka.checks.tls import speaks_tls
from cachesvc.mining.kafka.failures import Attempt
from cachesvc.mining.kafka.security import Security, open_broker
from cachesvc.mining.kafka.topic_metadata import TopicMetadataRequest
from cachesvc.policy.connection_checks import Finding, failed, passed

_CLOSE_S = 0.5

Versions = Mapping[int, tuple[int, int]]


async def check_signing_in(host: str, port: int, security: Security) -> tuple[Finding, Versions]:
    """Connects, authenticates, and asks something that only those who are let in may ask.

    Also returns lowest and highest version by request, empty if that failed.
    """
    address = Attempt(host, port).address
    try:
        connection = await open_broker(host, port, security)
    except CacheError as error:
        return await _refused(host, port, security, finding_of(address, error)), {}
    try:
        await connection.send(TopicMetadataRequest(()))
    except (KafkaError, OSError, TimeoutError) as error:
        return await _closed(host, port, security, error), {}
    finally:
        # aiokafka has no other way to tell them.
        versions = dict(connection._versions)
        await hang_up(connection)
    return passed(_identity(security)), versions


def _identity(security: Security) -> str:
    if security.password is not None:
        return f"signed in as {security.password.username} by {security.password.mechanism}"
    if security.kerberos is not None:
        return f"signed in as {security.kerberos.principal} by Kerberos"
    if security.tls is not None and security.tls.certificate_file is not None:
        return "signed in by client certificate"
    return "the broker asks for none"


async def _refused(host: str, port: int, security: Security, finding: Finding) -> Finding:
    """Looks closer where a broker just hung up on plain text."""
    unclear = security.tls is None and finding.reason == SourceUnreachable.default_reason
    if unclear and await speaks_tls(host, port):
        hint = "add a tls table to the connection, or use a port without TLS"
        return failed("the broker speaks TLS on this port", hint, reason="TLS_REQUIRED")
    return finding


async def _closed(host: str, port: int, security: Security, error: Exception) -> Finding:
    """A broker that hangs up at the first real question wants to know who asks."""
    if security.mechanism is None and (offered := await _mechanisms(host, port, security)):
        detail = f"the broker wants authentication by one of {', '.join(offered)}"
        hint = "add a sasl or kerberos table to the connection"
        return failed(detail, hint, reason="AUTHENTICATION_REQUIRED")
    detail = f"the broker ended the connection ({str(error) or type(error).__name__})"
    return failed(detail, "its log says why", reason=SourceUnreachable.default_reason)


async def _mechanisms(host: str, port: int, security: Security) -> list[str]:
    """The SASL mechanisms that a listener offers; empty if it wants none."""
    connection: AIOKafkaConnection | None = None
    try:
        connection = await open_broker(host, port, security)
        # Asking for one that nobody has makes the broker list those that it has.
        answer = await connection.send(SaslHandShakeRequest("NONE"))
        return list(answer.enabled_mechanisms)
    except (CacheError, KafkaError, OSError, TimeoutError, asyncio.IncompleteReadError):
        return []
    finally:
        if connection is not None:
            await hang_up(connection)


async def hang_up(connection: AIOKafkaConnection) -> None:
    """Closes a connection and waits a moment for that to happen."""
    closed = connection.close()
    if closed is not None:
        await asyncio.wait([closed], timeout=_CLOSE_S)
