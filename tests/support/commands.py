"""Runs ``cachesvc`` as a user does."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.service import ServiceProcess


def run_command(
    service: ServiceProcess, *words: str, address: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """Asks a service, where tasks reach it unless another address of it is given."""
    command = [sys.executable, "-m", "cachesvc", *words, "--address", address or service.address]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **env}
    )
