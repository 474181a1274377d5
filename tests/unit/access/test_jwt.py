from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from cachesvc.access.jwt import JwtIssuer
from cachesvc.errors import Unauthenticated
from cachesvc.policy.callers import Caller, Proof
from cachesvc.settings.access import JwtConfig

NOW_S = 1_000_000
PEER = "ipv4:10.0.0.7:4711"
EC = ECKey.generate_key("P-256", {"kid": "ec"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER = ECKey.generate_key("P-256", {"kid": "ec"})
GOOD = {
    "iss": "https://id.example",
    "aud": ["other", "cachesvc"],
    "sub": "billing",
    "exp": NOW_S + 60,
    "jti": "j7",
}
PRINCIPALS = {"billing": ("readers",)}


def _set(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def _config(file: Path, **more: Any) -> JwtConfig:
    return JwtConfig(
        issuer="https://id.example",
        audience="cachesvc",
        keys_file=str(file),
        **{"leeway_s": 0, **more},
    )


def _issuer(file: Path, now: Callable[[], float] = lambda: NOW_S, **more: Any) -> JwtIssuer:
    issuer = JwtIssuer(_config(file, **more), PRINCIPALS.get, now)
    asyncio.run(issuer.refresh())
    return issuer


def _signed(key: Any = EC, alg: str = "ES256", **claims: Any) -> str:
    found = {name: value for name, value in {**GOOD, **claims}.items() if value is not None}
    return jwt.encode({"alg": alg, "kid": key.kid}, found, key, algorithms=[alg])


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    file.write_bytes(_set(EC, RSA))
    return file


@pytest.mark.parametrize(("key", "alg"), [(EC, "ES256"), (RSA, "RS256"), (RSA, "PS384")])
def test_a_jwt_says_who_calls(keys: Path, key: Any, alg: str) -> None:
    issuer = _issuer(keys)
    for _ in range(2):
        assert issuer.holder(_signed(key, alg), PEER) == Caller(
            "billing", ("readers",), Proof.JWT, "j7", PEER, (NOW_S + 60) * 1_000
        )


def test_a_caller_stands_as_long_as_its_jwt_is_accepted(keys: Path) -> None:
    issuer = _issuer(keys, leeway_s=30)
    caller = issuer.holder(_signed(exp=NOW_S - 10), PEER)
    assert caller is not None
    assert caller.expires_ms == (NOW_S + 20) * 1_000


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"exp": NOW_S - 1},
        {"exp": None},
        {"nbf": NOW_S + 30},
        {"sub": None},
        {"sub": 7},
        {"sub": "nobody"},
    ],
)
def test_what_is_not_for_us(keys: Path, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        _issuer(keys).holder(_signed(**claims), PEER)


def test_what_the_issuer_has_not_signed(keys: Path) -> None:
    issuer = _issuer(keys)
    good = _signed()
    head, body, signature = good.split(".")
    # The public key as a secret: everybody has it.
    secret = OctKey.import_key(json.dumps(EC.as_dict(private=False)), {"kid": "ec"})
    unsigned = _signed(OctKey.import_key("x" * 32, {"kid": "ec"}), "HS256").split(".")[0]
    for wrong in (
        _signed(OTHER),
        _signed(secret, "HS256"),
        f"{head}.{body}.",
        f"{head}.{body}.{signature[::-1]}",
        f"{unsigned}.{body}.{signature}",
        f"eyJhbGciOiJub25lIn0.{body}.",
        "a.b.c",
        "..",
    ):
        with pytest.raises(Unauthenticated):
            issuer.holder(wrong, PEER)
    assert issuer.holder("no jwt", PEER) is None
    assert issuer.holder(f"{head}.{body * 100}.{signature}", PEER) is None


def test_it_expires_though_it_was_good_before(keys: Path) -> None:
    now = [float(NOW_S)]
    issuer = _issuer(keys, lambda: now[0])
    token = _signed()
    assert issuer.holder(token, PEER) is not None
    now[0] += 61
    with pytest.raises(Unauthenticated):
        issuer.holder(token, PEER)


def test_roles_of_a_claim(keys: Path) -> None:
    issuer = _issuer(keys, roles_claim="groups")
    for groups in (["writers", 7, "readers"], "writers readers"):
        both = issuer.holder(_signed(groups=groups), PEER)
        assert both is not None and both.roles == ("readers", "writers")
        alone = issuer.holder(_signed(sub="somebody", groups=groups), PEER)
        assert alone is not None and set(alone.roles) == {"readers", "writers"}
    with pytest.raises(Unauthenticated):
        issuer.holder(_signed(sub="somebody", groups={}), PEER)


def test_a_key_that_is_gone_opens_nothing_and_what_is_no_set_changes_nothing(keys: Path) -> None:
    issuer = _issuer(keys)
    token = _signed()
    assert issuer.holder(token, PEER) is not None
    for wrong in (b"", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "eHg"}]}'):
        keys.write_bytes(wrong)
        asyncio.run(issuer.refresh())
        assert issuer.holder(token, PEER) is not None
    keys.write_bytes(_set(RSA))
    asyncio.run(issuer.refresh())
    with pytest.raises(Unauthenticated):
        issuer.holder(token, PEER)


def test_a_new_key_is_fetched_from_the_url_when_a_jwt_needs_it() -> None:
    served = [_set(RSA)]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(served[0])

        def log_message(self, *_: object) -> None:
            pass

    async def body(url: str) -> None:
        config = JwtConfig(
            issuer="https://id.example", audience="cachesvc", keys_url=url, retry_s=1
        )
        issuer = JwtIssuer(config, PRINCIPALS.get, lambda: NOW_S)
        running = asyncio.ensure_future(issuer.run())
        found = None
        async with asyncio.timeout(60):
            while found is None:
                await asyncio.sleep(0.05)
                try:
                    issuer.holder(_signed(RSA, "RS256"), PEER)
                    served[0] = _set(EC, RSA)
                    found = issuer.holder(_signed(), PEER)
                except Unauthenticated:
                    continue
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        asyncio.run(body(f"http://127.0.0.1:{server.server_address[1]}/keys"))
    finally:
        server.shutdown()
        server.server_close()
        serving.join(10)
