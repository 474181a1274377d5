"""An issuer of JWTs: a key, the set that has it, and what it signs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER, AUDIENCE = "https://id.example", "cachesvc"


class JwtSigner:
    """Signs with a key of its own.

    Args:
        keys_file: Where its key set is written.
    """

    def __init__(self, keys_file: Path) -> None:
        self._key = ECKey.generate_key("P-256", {"kid": "tests"})
        self.keys_file = keys_file
        keys_file.write_text(json.dumps({"keys": [self._key.as_dict(private=False)]}))

    def signed(self, name: str, **claims: Any) -> str:
        """A JWT of that name, for an hour unless ``exp`` says otherwise."""
        now_s = int(time.time())
        found = {"iss": ISSUER, "aud": AUDIENCE, "sub": name, "exp": now_s + 3_600, "jti": "j7"}
        header = {"alg": "ES256", "kid": "tests"}
        return jwt.encode(header, found | claims, self._key, algorithms=["ES256"])
