"""Callers by the JWTs of an issuer, checked with its key set."""

import asyncio
import json
import logging
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cachesvc.access.tokens import digest_of
from cachesvc.errors import InvalidConfig, Unauthenticated
from cachesvc.policy.callers import Caller, Proof
from cachesvc.settings.access import JwtConfig

_ALGORITHMS = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
]
"""Those with a public key: a key set that everybody may read makes nobody a signer."""
_KEYS_BYTES_MAX = 1 << 20
_FETCH_S = 10.0
_CHECKED_MAX = 10_000
_JWT_BYTES_MAX = 8 << 10
_log = logging.getLogger(__name__)


class JwtIssuer:
    """Checks JWTs of one issuer. For one event loop; ``run`` keeps the keys fresh.

    As long as there are no keys, nobody is known by a JWT.

    Args:
        config: Who the issuer is, and where its keys are.
        roles_of: The names of a principal's roles; None where there is no such principal. Raises
            ``Unauthenticated`` for one that is disabled.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        config: JwtConfig,
        roles_of: Callable[[str], tuple[str, ...] | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._roles_of = roles_of
        self._clock = clock
        self._keys: KeySet | None = None
        self._read = b""
        self._checked: dict[str, Mapping[str, Any]] = {}
        self._wanted = asyncio.Event()

    def holder(self, token: str, address: str) -> Caller | None:
        """The caller who shows a JWT; None for what is none.

        Raises:
            Unauthenticated: It is none of this issuer's, not for this service, or not valid now, or
                nobody is known by its name, or only somebody who is disabled.
        """
        if token.count(".") != 2 or len(token) > _JWT_BYTES_MAX:
            return None
        claims = self._claims(token)
        name = claims.get(self._config.principal_claim)
        if not isinstance(name, str) or not name:
            raise Unauthenticated(f"the JWT has no {self._config.principal_claim}")
        known, brought = self._roles_of(name), _texts(claims, self._config.roles_claim)
        if known is None and not brought:
            raise Unauthenticated(
                f"the JWT is of {name[:80]!a}, which is no principal; `cachesvc access "
                "set-principal` makes one"
            )
        roles = tuple(dict.fromkeys([*(known or ()), *brought]))
        credential = str(claims.get("jti", ""))[:256]
        # With the leeway: who is let in must not be turned away at once by who looks again.
        expires_ms = int((float(claims["exp"]) + int(self._config.leeway_s)) * 1_000)
        return Caller(name[:256], roles, Proof.JWT, credential, address, expires_ms, brought)

    def _claims(self, token: str) -> Mapping[str, Any]:
        digest = digest_of(token)
        claims = self._checked.get(digest)
        try:
            if claims is None:
                claims = self._verified(token)
            # Times are looked at with every call.
            config, now = self._config, int(self._clock())
            jwt.JWTClaimsRegistry(
                now=now,
                leeway=int(config.leeway_s),
                iss={"essential": True, "value": config.issuer},
                aud={"essential": True, "value": config.audience},
                exp={"essential": True},
            ).validate(dict(claims))
        except (JoseError, ValueError, TypeError) as error:
            raise Unauthenticated(f"the JWT is not accepted: {error}") from error
        if len(self._checked) >= _CHECKED_MAX:
            self._checked.clear()
        self._checked[digest] = claims
        return claims

    def _verified(self, token: str) -> Mapping[str, Any]:
        if self._keys is None:
            raise ValueError("the keys of its issuer are not known yet")
        try:
            return jwt.decode(token, self._keys, algorithms=_ALGORITHMS).claims
        except (JoseError, ValueError):
            self._wanted.set()  # the issuer may have a new key
            raise

    async def run(self) -> None:
        """Reads the key set again and again, sooner where a JWT does not fit, until cancelled."""
        while True:
            await self.refresh()
            self._wanted.clear()
            await asyncio.sleep(self._config.retry_s)
            pause_s = max(0.0, self._config.interval_s - self._config.retry_s)
            try:
                async with asyncio.timeout(pause_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass

    async def refresh(self) -> None:
        """Reads the key set; what cannot be read leaves the keys as they are, and is said."""
        where = self._config.keys_file or self._config.keys_url or ""
        try:
            found = await asyncio.to_thread(read_keys, self._config)
            if found == self._read:
                return
            keys = public_keys(found)
        except InvalidConfig as error:
            extra = {"event": "jwt_keys_unusable", "keys": where, "error": str(error)}
            _log.warning("the keys of JWTs cannot be read", extra=extra)
            return
        self._keys, self._read = keys, found
        self._checked.clear()  # a key that is gone opens nothing any more
        count = len(keys.keys)
        _log.info(
            "the keys of JWTs are read",
            extra={"event": "jwt_keys_read", "keys": where, "count": count},
        )


def read_keys(config: JwtConfig) -> bytes:
    """The key set, from its file or URL. Blocking.

    Raises:
        InvalidConfig: It cannot be read, or is too large.
    """
    try:
        if config.keys_file is not None:
            found = Path(config.keys_file).read_bytes()
        else:
            request = urllib.request.Request(config.keys_url or "")
            trusted = ssl.create_default_context(cafile=config.keys_ca_file)
            with urllib.request.urlopen(request, timeout=_FETCH_S, context=trusted) as answer:
                found = answer.read(_KEYS_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise InvalidConfig(str(error)) from error
    if len(found) > _KEYS_BYTES_MAX:
        raise InvalidConfig(f"it has more than {_KEYS_BYTES_MAX:,} bytes")
    return found


def public_keys(text: bytes) -> KeySet:
    """The keys of a set that check signatures; others, and what is unknown, are left out.

    Raises:
        InvalidConfig: It is no key set, or has no such key.
    """
    try:
        keys = [
            each
            for each in json.loads(text)["keys"]
            if each.get("kty") in ("RSA", "EC", "OKP") and each.get("use", "sig") == "sig"
        ]
        if not keys:
            raise ValueError("it has no public key for signatures")
        return KeySet.import_key_set({"keys": keys})
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidConfig(f"it is no JWK set: {error}") from error


def _texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A claim that is an array of texts, or one text with spaces between."""
    found = claims.get(name) if name else None
    if isinstance(found, str):
        return tuple(found.split())
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()
