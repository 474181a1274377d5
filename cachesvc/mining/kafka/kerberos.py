"""SASL GSSAPI for a connection to a broker, by a login process of its own.

See ``kerberos_login`` for why it is one.
"""

import asyncio
import base64
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.settings.connection import KerberosConfig

MECHANISM = "GSSAPI"

_PROGRAM = Path(__file__).with_name("kerberos_login.py")
_LINE_BYTES_MAX = 1 << 20
# Of the Kerberos library, com_err table krb5.
_BASE = -1765328384
_PRINCIPAL_UNKNOWN, _SERVICE_UNKNOWN = _BASE + 6, _BASE + 7
_REVOKED, _EXPIRED, _WRONG_KEY = _BASE + 18, _BASE + 23, _BASE + 24
_INTEGRITY, _SKEW = _BASE + 31, _BASE + 37
_CONFIG_UNREADABLE = frozenset({_BASE + 135, _BASE + 136})
_REALM_UNKNOWN, _KDC_UNREACHABLE, _REALM_UNRESOLVED = _BASE + 154, _BASE + 156, _BASE + 220
# The last one is that there is no ticket: the library asks for none without a key of the principal.
_NO_KEY = frozenset({_BASE + 181, _BASE + 184, _BASE + 195})


def check_files(kerberos: KerberosConfig) -> None:
    """Looks whether the files can be read. Blocks.

    Raises:
        ConnectionUnusable: The keytab cannot (``KEYTAB_MISSING``), or the configuration
            (``KERBEROS_FAILED``).
    """
    problem = _unreadable(kerberos.keytab_file)
    if problem:
        raise ConnectionUnusable(
            f"kerberos.keytab_file: {kerberos.keytab_file} cannot be read: {problem}; put the "
            f"keys of {kerberos.principal} there, or name the file that has them",
            reason="KEYTAB_MISSING",
        )
    problem = _unreadable(kerberos.krb5_file) if kerberos.krb5_file is not None else ""
    if problem:
        raise ConnectionUnusable(
            f"kerberos.krb5_file: {kerberos.krb5_file} cannot be read: {problem}; name a file "
            "with the realm and its servers, or leave it out for that of the system",
            reason="KERBEROS_FAILED",
        )


def _unreadable(path: str) -> str:
    try:
        with Path(path).open("rb"):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


class KerberosLogin:
    """The client's side of one handshake. Belongs to one connection and one event loop.

    Has to be closed, whatever became of the handshake.

    Args:
        kerberos: Who to be, and where the keys are.
        host: The broker, by the name that its principal has.
    """

    def __init__(self, kerberos: KerberosConfig, host: str) -> None:
        self._kerberos = kerberos
        self._target = f"{kerberos.service_name}@{host}"
        self._process: asyncio.subprocess.Process | None = None
        self._last = False

    async def step(self, answer: bytes | None) -> tuple[bytes, bool] | None:
        """The next token for the broker, and whether it answers it; None when all is said.

        Args:
            answer: The broker's, to the token before; None at first.

        Raises:
            ConnectionUnusable: The login fails; the reason says why.
            SourceUnreachable: No KDC answers (``KDC_UNREACHABLE``).
        """
        if self._last:
            return None
        if self._process is None:
            self._process = await self._start()
        else:
            self._tell(self._process, answer or b"")
        assert self._process.stdout is not None, "it is a pipe"
        line = await self._process.stdout.readline()
        if not line:
            raise self._failure("the login process ended; the service's log may say why", 0)
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise self._failure(message["error"], message["code"])
        self._last = message["last"]
        return base64.b64decode(message["token"]), not self._last

    async def close(self) -> None:
        """Ends the process. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()

    async def _start(self) -> asyncio.subprocess.Process:
        environment = dict(os.environ)
        if self._kerberos.krb5_file is not None:
            environment["KRB5_CONFIG"] = self._kerberos.krb5_file
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # else its directory, where modules have names of the standard library's
            str(_PROGRAM),
            self._kerberos.principal,
            self._kerberos.keytab_file,
            self._target,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            limit=_LINE_BYTES_MAX,
        )

    def _tell(self, process: asyncio.subprocess.Process, answer: bytes) -> None:
        assert process.stdin is not None, "it is a pipe"
        process.stdin.write(json.dumps({"token": base64.b64encode(answer).decode()}).encode())
        process.stdin.write(b"\n")

    def _failure(self, problem: str, code: int | None) -> SourceUnreachable:
        return login_failure(self._kerberos, self._target, problem, code)


def login_failure(
    kerberos: KerberosConfig, target: str, problem: str, code: int | None
) -> SourceUnreachable:
    """The error that says what to do.

    Args:
        kerberos: Who was to be logged in.
        target: To what service.
        problem: What the Kerberos library says.
        code: The library's own; None if it is not there.
    """
    principal = kerberos.principal
    if code is None:
        text = f"{problem}; install cachesvc[kerberos], which needs the system's Kerberos library"
        return ConnectionUnusable(text, reason="KERBEROS_UNAVAILABLE")
    what = f"Kerberos login of {principal} to {target} failed ({problem})"
    if code in (_KDC_UNREACHABLE, _REALM_UNKNOWN, _REALM_UNRESOLVED):
        text = f"{what}; no KDC of the realm answers, check it and kerberos.krb5_file"
        return SourceUnreachable(text, reason="KDC_UNREACHABLE")
    if code == _SKEW:
        text = f"{what}; set the clocks of this machine, the broker and the KDC right"
        return ConnectionUnusable(text, reason="CLOCK_SKEW")
    if code in _NO_KEY:
        text = f"{what}; {kerberos.keytab_file} has to hold keys of exactly this principal"
        return ConnectionUnusable(text, reason="KEYTAB_MISSING")
    if code in (_PRINCIPAL_UNKNOWN, _REVOKED, _EXPIRED, _WRONG_KEY, _INTEGRITY):
        text = f"{what}; check kerberos.principal and write {kerberos.keytab_file} anew"
        return ConnectionUnusable(text, reason="AUTHENTICATION_FAILED")
    if code == _SERVICE_UNKNOWN:
        text = f"{what}; connect by the name in the broker's principal, and check service_name"
        return ConnectionUnusable(text, reason="KERBEROS_FAILED")
    if code in _CONFIG_UNREADABLE:
        return ConnectionUnusable(f"{what}; mend kerberos.krb5_file", reason="KERBEROS_FAILED")
    return ConnectionUnusable(f"{what}; check the kerberos table", reason="KERBEROS_FAILED")
