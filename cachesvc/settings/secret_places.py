"""Where secrets may lie of what is made over Admin.

Who makes a connection names the file or variable of its password, and the broker that gets to see
it. So names of the operator's choosing would be a way to any file and variable of the machine.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cachesvc.settings.validation import inside, setting_error

_SOURCE = "request"


@dataclass(frozen=True, slots=True)
class SecretPlaces:
    """What settings that end in ``_file`` and ``_env`` may name.

    Attributes:
        directory: Files lie below it; None: nowhere.
        variable_prefix: Names of variables begin so; None: none do.
        anywhere: Whether neither matters.
    """

    directory: str | None
    variable_prefix: str | None
    anywhere: bool = False

    def check(self, settings: dict[str, Any], field: str) -> None:
        """Lets settings through that name nothing elsewhere; symbolic links are followed. Blocking.

        Args:
            settings: As JSON types, tables within.
            field: Their path in the request, for messages.

        Raises:
            InvalidConfig: One does; the message has the setting, and where to put the secret.
        """
        for name in self.elsewhere(settings, field):
            variable = name.endswith("_env")
            raise setting_error(_SOURCE, name, self._problem(variable), self._advice(variable))

    def elsewhere(self, settings: dict[str, Any], field: str = "") -> list[str]:
        """The paths of settings that name something elsewhere. Blocking."""
        if self.anywhere:
            return []
        return [
            name
            for name, value in _named(settings, field)
            if not (self._has_variable if name.endswith("_env") else self._has_file)(value)
        ]

    def _has_variable(self, name: str) -> bool:
        return self.variable_prefix is not None and name.startswith(self.variable_prefix)

    def _has_file(self, path: str) -> bool:
        if self.directory is None:
            return False
        directory = os.path.realpath(self.directory)
        return os.path.realpath(path).startswith(directory.rstrip(os.sep) + os.sep)

    def _problem(self, variable: bool) -> str:
        if variable:
            return "names a variable that calls may not name"
        return "names a file where calls may not name any"

    def _advice(self, variable: bool) -> str:
        if variable and self.variable_prefix:
            return f"give one that begins with {self.variable_prefix}"
        if self.directory and not variable:
            return f"put it below {self.directory}"
        setting = "secrets_variable_prefix" if variable else "secrets_directory"
        return f"the operator allows some with access.{setting}"


def _named(settings: dict[str, Any], field: str) -> Iterator[tuple[str, str]]:
    """The path and value of every setting that names a file or a variable."""
    for key, value in settings.items():
        name = inside(field, key)
        if isinstance(value, dict):
            yield from _named(value, name)
        elif key.endswith(("_env", "_file")) and value:
            yield name, str(value)
