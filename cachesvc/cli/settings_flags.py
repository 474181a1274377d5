"""What the commands for things with settings share: flags, files, settings as facts."""

import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cachesvc.errors import InvalidConfig
from cachesvc.settings.validation import unknown_setting

Name = Annotated[str, typer.Argument(metavar="NAME")]


def file_option(tables: str) -> Any:
    """``--file``: a TOML file that has one of that name."""
    text = f"A TOML file whose [[{tables}]] have one of this name; its settings count."
    return typer.Option("--file", metavar="FILE", help=text)


def set_option(text: str) -> Any:
    """``--set``, with a text that has examples."""
    return typer.Option("--set", metavar="SETTING=VALUE", help=f"{text}; may be repeated.")


def unset_option(text: str) -> Any:
    """``--unset``, with what else is to be said of it."""
    text = f"Gives a setting its default; {text}"
    return typer.Option("--unset", metavar="SETTING", help=text)


@dataclass(frozen=True, slots=True)
class Named:
    """A kind of thing that has a name and settings: connections, stores.

    Trees are the settings of one of them as JSON types.

    Attributes:
        what: What one is called.
        tables: What their tables are called in a file.
        make_absolute: Resolves the paths in a tree against a directory.
        paths: The paths of all settings of one whose own path is given.
    """

    what: str
    tables: str
    make_absolute: Callable[[dict[str, Any], Path], None]
    paths: Callable[[str], list[str]]

    def from_file(self, file: Path, name: str) -> dict[str, Any]:
        """The one of that name, its paths relative to the file's directory.

        Raises:
            InvalidConfig: The file cannot be read, or has none of that name.
        """
        try:
            tree = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            problem = f"{file}: cannot be read: {error.strerror}; check --file"
            raise InvalidConfig(problem) from error
        except ValueError as error:
            raise InvalidConfig(f"{file}: not TOML in UTF-8: {error}") from error
        tables = tree.get(self.tables, [])
        for table in tables if isinstance(tables, list) else ():
            if isinstance(table, dict) and table.get("name") == name:
                self.make_absolute(table, file.parent)
                return table
        problem = f"{file}: it has no [[{self.tables}]] with name = {name!r}; add it there"
        raise InvalidConfig(problem)

    def unset(self, tree: dict[str, Any], paths: Sequence[str]) -> None:
        """Takes settings out, or whole tables of them.

        Raises:
            InvalidConfig: There is none of that name.
        """
        known = self.paths("")
        for path in paths:
            if path == "name":
                raise InvalidConfig(f"--unset {self._keeps_its_name()}")
            table, _, name = path.rpartition(".")
            if path not in {*known, *(each.partition(".")[0] for each in known)}:
                raise unknown_setting("--unset", table, name, known)
            inner = tree.get(table) if table else tree
            if isinstance(inner, dict):
                inner.pop(name, None)

    def set(self, tree: dict[str, Any], settings: Sequence[tuple[str, Any]]) -> None:
        """Puts values in their places, and resolves paths against the present directory.

        Raises:
            InvalidConfig: One would lie in what is no table.
        """
        for path, value in settings:
            table, dot, name = path.partition(".")
            inner = tree.setdefault(table, {}) if dot else tree
            if not isinstance(inner, dict):
                advice = "docs/configuration.md lists all of them"
                raise InvalidConfig(f"{path}: {table} is no table; {advice}")
            inner[name if dot else path] = value
        self.make_absolute(tree, Path.cwd())

    def parsed(self, settings: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Path and value of every ``--set``.

        Raises:
            InvalidConfig: One is no SETTING=VALUE, or would change the name.
        """
        for setting in settings:
            path, equals, value = setting.partition("=")
            if not equals or not path:
                raise InvalidConfig(f"--set {setting!r}: give SETTING=VALUE, such as store=default")
            if path == "name":
                raise InvalidConfig(f"--set {self._keeps_its_name()}")
            yield path, value

    def _keeps_its_name(self) -> str:
        return f"name: a {self.what} keeps its name; make another one"


def flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every setting that has a value, by its path, for people."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        elif value is not None:
            shown = ", ".join(value) if isinstance(value, list | tuple) else value
            yes_no = {True: "yes", False: "no"}
            yield f"{prefix}{name}", yes_no[value] if isinstance(value, bool) else str(shown or "-")
