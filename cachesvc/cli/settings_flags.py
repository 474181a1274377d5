"""What commands that change settings share: ``--set SETTING=VALUE``, and settings as facts."""

from collections.abc import Iterator, Sequence
from typing import Any

from cachesvc.errors import InvalidConfig


def parsed(settings: Sequence[str], what: str) -> Iterator[tuple[str, str]]:
    """Path and value of every ``--set``; ``what`` is the kind of thing whose settings they are.

    Raises:
        InvalidConfig: One is no SETTING=VALUE, or would change the name.
    """
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path:
            raise InvalidConfig(f"--set {setting!r}: give SETTING=VALUE, such as store=default")
        if path == "name":
            raise InvalidConfig(f"--set name: a {what} keeps its name; make another one")
        yield path, value


def flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting that has a value, by its path, for people."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        elif value is not None:
            shown = ", ".join(value) if isinstance(value, list | tuple) else value
            yes_no = {True: "yes", False: "no"}
            yield f"{prefix}{name}", yes_no[value] if isinstance(value, bool) else str(shown or "-")
