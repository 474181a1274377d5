"""What a page of the browser is made of."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.web.visit import Visit

Show = Callable[[Visit], Awaitable[Response]]
"""Answers a visit."""
Fields = Mapping[str, str]
"""What a form carries."""
Answer = Callable[[Visit, Fields], Awaitable[Response]]
"""Answers a form."""


@dataclass(frozen=True, slots=True)
class Done:
    """What an action came to.

    Attributes:
        note: What to tell, in one sentence; empty: nothing.
        to: The path to go on at; empty: where the form was.
    """

    note: str
    to: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would mean, told before it is done.

    Attributes:
        question: Whether to do it.
        points: What it means, a sentence each.
        columns: Of a table of what it changes; none: no table.
        rows: Of that table.
    """

    question: str
    points: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """Something that changes something. Forms post to ``/do/NAME``.

    Attributes:
        name: In its path, and unique.
        button: What is to be pressed.
        do: Does it, with the fields of the form.
        preview: What is asked before; None: it is done at once, as it can be undone.
    """

    name: str
    button: str
    do: Callable[[Visit, Fields], Awaitable[Done]]
    preview: Callable[[Visit, Fields], Awaitable[Preview]] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """An entry of the navigation, with what lies below it.

    Attributes:
        title: As it is called there.
        path: Where it is.
        show: Answers there.
        below: What else answers, by path.
        posts: What answers forms that change nothing, by path.
        changes: What answers other forms that change something than those of actions, by path.
        actions: What can be done there.
    """

    title: str
    path: str
    show: Show
    below: Sequence[tuple[str, Show]] = ()
    posts: Sequence[tuple[str, Answer]] = ()
    changes: Sequence[tuple[str, Answer]] = ()
    actions: Sequence[Action] = ()
