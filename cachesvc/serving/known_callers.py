"""Tells callers where access control is on: by a token, a JWT, a certificate, or the socket.

Reading certificates takes a library that nothing else here needs, so that this module is imported
only by a service that has to know who calls.
"""

import time
from collections.abc import Callable
from typing import Protocol

from cachesvc.access.certificates import CertificateName, read_certificate
from cachesvc.errors import Unauthenticated
from cachesvc.policy.callers import Caller, Proof
from cachesvc.serving.wrapping import Context

_HEADER = "authorization"
_PEM = "x509_pem_cert"
_SCHEME = "bearer"


class Principals(Protocol):
    """Knows who may call; see ``access.registry.Registry``."""

    def holder(self, token: str, address: str) -> Caller | None:
        """The caller who shows a token; None where it is none."""

    def known(self, name: str) -> bool:
        """Whether there is a principal of that name, one that is not disabled."""

    def roles_of(self, name: str) -> tuple[str, ...]:
        """The names of its roles."""


class Issuer(Protocol):
    """Knows who holds a JWT; see ``access.jwt.JwtIssuer``."""

    def holder(self, token: str, address: str) -> Caller | None:
        """The caller who shows a JWT; None for what is none."""


class Known:
    """Where access control is on.

    A token goes before a certificate: it was shown to say something else.

    Args:
        registry: Knows tokens and principals.
        by: What of a client's certificate is a name.
        issuer: Knows JWTs; None: nobody does.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        registry: Principals,
        by: CertificateName = "common_name",
        issuer: Issuer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._by = by
        self._issuer = issuer
        self._clock = clock

    def caller(self, context: Context) -> Caller:
        """See ``authenticating.Authentication``."""
        address = context.peer()
        shown = dict(context.invocation_metadata() or ()).get(_HEADER)
        if shown is not None:
            return self._holder(shown, address)
        for pem in context.auth_context().get(_PEM, ()):
            return self._named(pem, address)
        if address.startswith("unix:"):
            return Caller("local", (), Proof.SOCKET, "", address)
        raise Unauthenticated(
            "the service wants to know who calls; show a token (--token-file or CACHESVC_TOKEN, "
            "Client(token=…), token_file of [source])"
        )

    def _named(self, pem: bytes, address: str) -> Caller:
        try:
            shown = read_certificate(pem, self._by)
        except ValueError as error:
            raise Unauthenticated(f"the certificate cannot be read: {error}") from error
        if not shown.begins_ms <= self._clock() * 1_000 < shown.expires_ms:
            # TLS has looked when the connection began; that may be long ago.
            raise Unauthenticated("the certificate is not valid now; connect with a new one")
        for name in shown.names:
            if self._registry.known(name):
                roles = self._registry.roles_of(name)
                proof = Proof.CERTIFICATE
                return Caller(name, roles, proof, shown.serial, address, shown.expires_ms)
        names = ", ".join(f"{name[:80]!a}" for name in shown.names[:4]) or "nobody"
        raise Unauthenticated(
            f"the certificate names {names}, which is no principal, or a disabled one; `cachesvc "
            "access set-principal` makes one"
        )

    def _holder(self, shown: str | bytes, address: str) -> Caller:
        text = shown.decode(errors="replace") if isinstance(shown, bytes) else shown
        scheme, _, token = text.partition(" ")
        if scheme.lower() != _SCHEME:
            raise Unauthenticated("the header authorization is not `Bearer TOKEN`")
        found = self._registry.holder(token.strip(), address)
        if found is None and self._issuer is not None:
            found = self._issuer.holder(token.strip(), address)
        if found is None:
            raise Unauthenticated("the token is none of this service's; ask for another")
        return found
