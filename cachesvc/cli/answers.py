"""What commands answer: JSON for programs, a table or words for people.

``end`` is what a command ends with once its answer was shown: an error, or an exit code.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import typer
from google.protobuf.message import Message

from cachesvc.cli.render import Column, as_dict, show_json, show_table

M = TypeVar("M", bound=Message)


class Answer(Protocol):
    """What a command has to say."""

    @property
    def end(self) -> Exception | None:
        """What the command ends with then; None for success."""

    def as_json(self) -> Any:
        """As JSON types."""

    def show(self) -> None:
        """Prints it for people."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Messages, as an array or as a table; without any, ``nothing`` on stderr instead of that."""

    found: Iterable[Message]
    columns: Sequence[Column]
    nothing: str
    end: Exception | None = None

    def as_json(self) -> Any:
        return [as_dict(each) for each in self.found]

    def show(self) -> None:
        show_table(self.found, self.columns, self.nothing)


@dataclass(frozen=True, slots=True)
class Many(Generic[M]):
    """Messages, as an array or as ``shown`` prints them."""

    found: Iterable[M]
    shown: Callable[[Iterable[M]], None]
    end: Exception | None = None

    def as_json(self) -> Any:
        return [as_dict(each) for each in self.found]

    def show(self) -> None:
        self.shown(self.found)


@dataclass(frozen=True, slots=True)
class One(Generic[M]):
    """A message, as an object or as ``shown`` prints it."""

    found: M
    shown: Callable[[M], None]
    end: Exception | None = None

    def as_json(self) -> Any:
        return as_dict(self.found)

    def show(self) -> None:
        self.shown(self.found)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, as fields or in words."""

    fields: dict[str, Any]
    words: str
    end: Exception | None = None

    def as_json(self) -> Any:
        return self.fields

    def show(self) -> None:
        typer.echo(self.words)


def give(answer: Answer, as_json: bool) -> None:
    """Prints an answer.

    Raises:
        Exception: What the answer ends with.
    """
    if as_json:
        show_json(answer.as_json())
    else:
        answer.show()
    if answer.end is not None:
        raise answer.end
