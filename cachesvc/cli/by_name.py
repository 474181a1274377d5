"""Groups of things that have names: a word that is no subcommand is the name of the one to show.

``cachesvc topics orders`` is ``cachesvc topics show orders``. The words of subcommands win: a topic
that is called like one is shown by ``topics show``.
"""

from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperGroup

from cachesvc.cli.failure import NOT_FOUND, CommandFailed

_SHOW = "show"
_MEANT = "cachesvc.cli.by_name.meant"


def group_of(things: str) -> typer.Typer:
    """A group whose subcommand ``show`` takes one of these, such as ``TOPIC``."""
    return typer.Typer(
        cls=_ShowsByName,
        subcommand_metavar=f"[{things} | COMMAND [ARGS]...]",
        rich_markup_mode=None,
        add_completion=False,
    )


class _ShowsByName(TyperGroup):
    """See the module. Who mistypes a subcommand is told which one may be meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The subcommand that the words mean, and what is left for it."""
        name, *rest = args
        if name in self.commands:
            return super().resolve_command(ctx, args)
        meant = get_close_matches(name, self.commands, 1)
        if meant and rest and not rest[0].startswith("-"):
            return super().resolve_command(ctx, args)  # which refuses it, and says what is meant
        ctx.meta[_MEANT] = meant
        # What begins with a dash is a name here, and has to stay one.
        return _SHOW, self.commands[_SHOW], ["--", *args] if name.startswith("-") else args

    def invoke(self, ctx: Any) -> Any:
        """Runs the command.

        Raises:
            CommandFailed: It failed; where a name is none, with the subcommand that may be meant.
        """
        try:
            return super().invoke(ctx)
        except CommandFailed as error:
            for meant in ctx.meta.get(_MEANT, ()):
                if error.exit_code == NOT_FOUND:
                    what = f"{error}; or is `{ctx.command_path} {meant}` meant?"
                    raise CommandFailed(what, code=NOT_FOUND) from error
            raise
