"""Secrets that settings name the place of, in an environment variable or a file."""

import os
from pathlib import Path

from cachesvc.sync.errors import InvalidTask


def secret(setting: str, env: str | None, file: str | None) -> str | None:
    """The secret of ``SETTING_env`` or ``SETTING_file``; None where neither is given.

    Raises:
        InvalidTask: Both are given, or it is not where it is said to be.
    """
    if env is not None and file is not None:
        raise InvalidTask(f"{setting}_env and {setting}_file are both given; one is enough")
    if env is not None:
        if not os.environ.get(env):
            raise InvalidTask(f"{setting}_env: the environment has no {env}")
        return os.environ[env]
    if file is not None:
        try:
            return Path(file).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidTask(f"{setting}_file: {error}") from error
    return None
