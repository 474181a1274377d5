"""The Pythons of this machine that a virtual environment can be made with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

Version: TypeAlias = tuple[int, int]

SUPPORTED: tuple[Version, ...] = ((3, 11), (3, 12), (3, 13))
"""Those that the client says it is for."""

OLDEST = SUPPORTED[0]

_ANSWER_S = 20.0
_SAY_VERSION = "import ensurepip, sys, venv; print(*sys.version_info[:2])"


def installed_pythons() -> Mapping[Version, Path]:
    """An interpreter of each supported version that works here; the one that runs this is first."""
    found = {sys.version_info[:2]: Path(sys.executable)}
    for version in SUPPORTED:
        working = (path for path in _candidates(version) if _version_of(path) == version)
        if version not in found and (path := next(working, None)) is not None:
            found[version] = path
    return found


def missing_pythons(found: Mapping[Version, Path]) -> list[Version]:
    """The supported versions that are not there."""
    return [version for version in SUPPORTED if version not in found]


def text(version: Version) -> str:
    """As everybody writes it: 3.12."""
    return f"{version[0]}.{version[1]}"


def _candidates(version: Version) -> Iterator[Path]:
    """Where one of that version may be: the PATH, and the versions of pyenv that are not on it."""
    on_path = shutil.which(f"python{text(version)}")
    if on_path is not None:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{text(version)}.*/bin/python3"), reverse=True)


def _version_of(python: Path) -> Version | None:
    """What it says; None if it does not run, as the shims of pyenv that lead nowhere."""
    try:
        said = subprocess.run(
            [python, "-c", _SAY_VERSION], capture_output=True, text=True, timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if said.returncode != 0:
        return None
    major, minor = said.stdout.split()
    return int(major), int(minor)
