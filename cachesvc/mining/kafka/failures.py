"""Why brokers cannot be used, in words that say what to do."""

import asyncio
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from cachesvc.errors import ConnectionUnusable, SourceChanged, SourceUnreachable

# OpenSSL's X509_V_ERR_… numbers.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNTRUSTED = frozenset({18, 19, 20, 21})
_WRONG_NAME = frozenset({62, 64})
_HUNG_UP = "UNEXPECTED_EOF_WHILE_READING"
# The beginning of a TLS alert: what a TLS listener answers to plain text.
_TLS_ALERT = 0x15
_CREDENTIALS = "check user name, password and mechanism"
_CLIENT_CERTIFICATE = re.compile(
    r"ALERT_(BAD_CERTIFICATE|CERTIFICATE_|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA)"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to connect that failed.

    Attributes:
        host: Of the broker.
        port: Likewise.
        tls: Whether TLS was to be spoken.
        mechanism: Of SASL; None without.
    """

    host: str
    port: int
    tls: bool = False
    mechanism: str | None = None

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def connect_failure(attempt: Attempt, error: BaseException) -> SourceUnreachable:
    """The error that says what to do.

    Args:
        attempt: What was tried.
        error: What it raised; its causes count as well.
    """
    if isinstance(error, SourceUnreachable):
        return error
    causes = list(_causes(error))
    explained = (_explain(attempt, cause) for cause in causes)
    return next(filter(None, explained), None) or _unreachable(attempt, error, causes)


def _explain(attempt: Attempt, cause: BaseException) -> ConnectionUnusable | None:
    """The precise error, where the cause is known well enough."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _certificate(attempt, cause)
    if isinstance(cause, ssl.SSLError) and cause.reason != _HUNG_UP:
        return _handshake(attempt, cause)
    if isinstance(cause, KafkaError):
        return _refusal(attempt, cause)
    if isinstance(cause, asyncio.IncompleteReadError):
        if attempt.tls or (cause.expected or 0) >> 24 != _TLS_ALERT:
            return None
        text = "the broker speaks TLS on this port; add a tls table"
        return _unusable(attempt, text, reason="TLS_REQUIRED")
    if isinstance(cause, UnicodeError):  # a host such as "a..b", which no name server is asked for
        return None
    if attempt.mechanism is not None and isinstance(cause, ValueError | KeyError | AssertionError):
        text = f"the broker's answer to {attempt.mechanism} is wrong; {_CREDENTIALS}"
        return _unusable(attempt, text, reason="AUTHENTICATION_FAILED")
    return None


def _certificate(attempt: Attempt, error: ssl.SSLCertVerificationError) -> ConnectionUnusable:
    code, detail = error.verify_code, error.verify_message
    if code == _EXPIRED:
        text = "the broker's certificate has expired; renew it, or check this machine's clock"
        return _unusable(attempt, text, reason="CERTIFICATE_EXPIRED")
    if code == _NOT_YET_VALID:
        text = "the broker's certificate is not valid yet; check this machine's clock"
        return _unusable(attempt, text, reason="CERTIFICATE_NOT_YET_VALID")
    if code in _WRONG_NAME:
        text = f"the broker's certificate is not for {attempt.host} ({detail}); connect by a name "
        text += "that it has, or set tls.check_hostname = false"
        return _unusable(attempt, text, reason="HOST_NAME_MISMATCH")
    if code in _UNTRUSTED:
        text = f"the broker's certificate is from an authority that is not trusted ({detail}); "
        text += "name the file with that authority in tls.ca_file"
        return _unusable(attempt, text, reason="CERTIFICATE_UNTRUSTED")
    text = f"the broker's certificate is refused ({detail}); renew it"
    return _unusable(attempt, text, reason="TLS_HANDSHAKE_FAILED")


def _handshake(attempt: Attempt, error: ssl.SSLError) -> ConnectionUnusable:
    problem = error.reason or str(error)
    if _CLIENT_CERTIFICATE.search(problem):
        text = f"the broker refuses the client's certificate, or the lack of one ({problem}); set "
        text += "tls.certificate_file and tls.key_file to what its authorities have signed"
        return _unusable(attempt, text, reason="CLIENT_CERTIFICATE_REFUSED")
    text = f"the TLS handshake failed ({problem}); does the broker speak TLS on this port, in a "
    text += "version and with ciphers that this machine allows?"
    return _unusable(attempt, text, reason="TLS_HANDSHAKE_FAILED")


def _refusal(attempt: Attempt, error: KafkaError) -> ConnectionUnusable | None:
    if isinstance(error, SaslAuthenticationFailed):
        detail = str(error.args[0]) if error.args and error.args[0] else "it does not say why"
        text = f"the broker refuses these credentials ({detail}); {_CREDENTIALS}"
        return _unusable(attempt, text, reason="AUTHENTICATION_FAILED")
    if isinstance(error, UnsupportedSaslMechanismError):
        text = f"the broker does not offer {attempt.mechanism} on this port; choose a mechanism "
        text += "that it offers, or enable it there"
        return _unusable(attempt, text, reason="SASL_MECHANISM_UNSUPPORTED")
    if isinstance(error, IllegalSaslStateError):
        text = "the broker wants no authentication on this port; leave it out, or choose another"
        return _unusable(attempt, text, reason="SASL_MECHANISM_UNSUPPORTED")
    return None


def _unusable(attempt: Attempt, text: str, *, reason: str) -> ConnectionUnusable:
    metadata = {"host": attempt.host, "port": attempt.port}
    return ConnectionUnusable(f"{attempt.address}: {text}", reason=reason, metadata=metadata)


def _unreachable(
    attempt: Attempt, error: BaseException, causes: list[BaseException]
) -> SourceUnreachable:
    """The error that may pass by itself, with what to look for if it does not."""
    metadata = {"host": attempt.host, "port": attempt.port}
    text = str(error) or type(error).__name__
    if attempt.tls and isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLError):
        text = "the broker ended the TLS handshake; does it speak TLS on this port?"
        return SourceUnreachable(
            f"{attempt.address}: {text}", reason="TLS_HANDSHAKE_FAILED", metadata=metadata
        )
    if isinstance(error, KafkaConnectionError):
        text = "the broker closed the connection"
        if any(isinstance(cause, EOFError) for cause in causes):
            wanted = "TLS" if not attempt.tls else "a client certificate, or other authentication,"
            text += f" before it answered; does it ask for {wanted} on this port?"
    elif isinstance(error, TimeoutError):
        text = "no answer in time"
    return SourceUnreachable(f"{attempt.address}: {text}", metadata=metadata)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, the last one first."""
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        error = error.__cause__ or error
    yield from reversed(seen)


def told(error: SourceUnreachable) -> str:
    """An error as text for people; a reason that says more than the text's own comes first."""
    plain = error.reason == SourceUnreachable.default_reason
    return str(error) if plain else f"{error.reason}: {error}"


def none_of(failures: Sequence[SourceUnreachable]) -> SourceUnreachable:
    """The error of several brokers; what somebody has to mend comes before what passes."""
    texts = "; ".join(dict.fromkeys(str(failure) for failure in failures))
    elsewhere = [failure for failure in failures if isinstance(failure, SourceChanged)]
    for failure in failures:
        if isinstance(failure, ConnectionUnusable) and failure not in elsewhere:
            text = f"no broker can be used: {texts}"
            return ConnectionUnusable(text, reason=failure.reason, metadata=failure.metadata)
    if elsewhere:
        # An address that does not answer now may be the right one, and do so soon.
        kind = SourceChanged if len(elsewhere) == len(failures) else SourceUnreachable
        text, first = f"no broker can be used: {texts}", elsewhere[0]
        return kind(text, reason=first.reason, metadata=first.metadata)
    reasons = {failure.reason for failure in failures} - {SourceUnreachable.default_reason}
    return SourceUnreachable(f"no broker answers: {texts}", reason=min(reasons, default=None))


def turned_away(host: str, port: int) -> SourceUnreachable:
    """A broker that wants authentication closes the connection at the first real request."""
    return SourceUnreachable(
        f"{host}:{port}: the broker closed the connection at the first request; does it ask for "
        "authentication on this port? If so, add a sasl or kerberos table",
        reason="AUTHENTICATION_REQUIRED",
        metadata={"host": host, "port": port},
    )


def request_failure(host: str, port: int, error: Exception) -> SourceUnreachable:
    """A request that was sent has no answer."""
    return SourceUnreachable(
        f"{host}:{port}: {str(error) or type(error).__name__}",
        metadata={"host": host, "port": port},
    )
