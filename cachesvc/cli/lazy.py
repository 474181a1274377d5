"""A group of commands whose modules are imported when one of them is asked for.

What gRPC, rich and Arrow cost to import would else be paid by ``cachesvc --help``. The table says
enough for the list of commands; the module of a command is imported when the command is.
"""

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cachesvc import starting


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is found.

    Attributes:
        target: ``package.module:name`` of a function, or of a ``typer.Typer`` with subcommands.
        help: One line for the list of commands.
        hidden: Whether it is left out of that list.
    """

    target: str
    help: str
    hidden: bool = False

    def load(self, name: str) -> Any:
        """Imports the module and makes the command, called ``name``."""
        module, _, attribute = self.target.partition(":")
        target = getattr(importlib.import_module(module), attribute)
        starting.settled()
        if isinstance(target, typer.Typer):
            command = get_command(target)
            command.name = name
            return command
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name)(target)
        return get_command(single)


class LazyCommands(MutableMapping[str, Any]):
    """Commands by name, in the table's order; each is loaded when it is first taken."""

    def __init__(self, table: Mapping[str, LazyCommand]) -> None:
        self._table = dict(table)
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self._table[name].load(name)
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._table[name]
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def listed(self) -> list[tuple[str, str]]:
        """Name and help of every command that is not hidden, without loading any."""
        return [(name, entry.help) for name, entry in self._table.items() if not entry.hidden]


class LazyGroup(TyperGroup):
    """A group over a table of lazy commands; a subclass gives the table."""

    table: Mapping[str, LazyCommand]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": None})
        self._lazy = LazyCommands(self.table)
        self.commands = self._lazy

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """The command of that name, loaded now if it was not."""
        return self._lazy.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(self._lazy.listed())
