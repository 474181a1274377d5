"""Prometheus's own checks of metrics and rules."""

from __future__ import annotations

import shutil
import subprocess

from tests.support.left_out import leave_out


def promtool(*arguments: str, text: str = "") -> str:
    """What ``promtool`` prints; the test fails if it finds fault, and is left out without it."""
    program = shutil.which("promtool")
    if program is None:
        leave_out("no promtool here; the package prometheus has it")
    done = subprocess.run(
        [str(program), *arguments], input=text, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
