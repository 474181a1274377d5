"""A Kerberos KDC of the tests: MIT's, on 127.0.0.1, with a realm of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.ports import HOST, free_ports

REALM = "CACHESVC.TEST"
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local")
_START_TIMEOUT_S = 20.0
_TOOL_S = 30.0


def missing_kdc() -> str | None:
    """Say what this machine lacks to run a KDC and talk to it, or None if nothing."""
    missing = [program for program in _PROGRAMS if shutil.which(program, path=_PATH) is None]
    if missing:
        return f"this machine lacks {', '.join(missing)} (Debian: krb5-kdc, krb5-admin-server)"
    if find_spec("gssapi") is None:
        return "the package gssapi is missing (Debian: libkrb5-dev, then scripts/env)"
    return None


class Kdc:
    """A realm with its KDC; used in `with`.

    Attributes:
        krb5_file: The configuration for clients.
        log_path: What the KDC says.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self.krb5_file = directory / "krb5.conf"
        self.log_path = directory / "kdc.log"
        self._write_configuration()

    def _write_configuration(self) -> None:
        self.krb5_file.write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n"
            " dns_lookup_realm = false\n rdns = false\n dns_canonicalize_hostname = false\n"
            " udp_preference_limit = 1\n"
            f"[realms]\n {REALM} = {{\n  kdc = {HOST}:{self._port}\n }}\n"
            f"[domain_realm]\n localhost = {REALM}\n"
        )
        directory = self._directory
        (directory / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = {HOST}:{self._port}\n"
            f" kdc_tcp_listen = {HOST}:{self._port}\n"
            f"[realms]\n {REALM} = {{\n  database_name = {directory}/principal\n"
            f"  key_stash_file = {directory}/stash\n  acl_file = {directory}/acl\n"
            "  supported_enctypes = aes256-cts-hmac-sha1-96:normal\n }\n"
            f"[logging]\n kdc = FILE:{self.log_path}\n"
        )

    def start(self) -> Self:
        """Make the realm at first, start the KDC, and return once it listens."""
        if not (self._directory / "principal").exists():
            self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "not-a-secret")
        with (self._directory / "kdc.out").open("ab") as output:
            self._process = subprocess.Popen(
                [self._program("krb5kdc"), "-n"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(),
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self._directory / "kdc.out").read_text(errors="replace")
                self.stop()
                raise RuntimeError(f"the KDC does not start: {text}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """End the KDC; the realm stays. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def keytab(self, principal: str, name: str | None = None) -> Path:
        """Add a principal with random keys, and return a new keytab with them.

        A second call for the same principal changes its keys: the older keytab is of no use then.
        """
        path = self._directory / f"{name or principal.replace('/', '-')}.keytab"
        if not self._run("kadmin.local", "-q", f"getprinc {principal}").startswith("Principal:"):
            self._run("kadmin.local", "-q", f"addprinc -randkey {principal}")
        self._run("kadmin.local", "-q", f"ktadd -k {path} {principal}")
        if not path.exists():
            raise RuntimeError(f"no keytab for {principal}")
        return path

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _listens(self) -> bool:
        try:
            socket.create_connection((HOST, self._port), 1).close()
        except OSError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        kdc = str(self._directory / "kdc.conf")
        return {**os.environ, "KRB5_CONFIG": str(self.krb5_file), "KRB5_KDC_PROFILE": kdc}

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=_PATH)
        if found is None:
            raise RuntimeError(missing_kdc())
        return found

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._program(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TOOL_S,
            env=self._environment(),
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stdout}")
        return done.stdout.partition("\n")[2] if program == "kadmin.local" else done.stdout
