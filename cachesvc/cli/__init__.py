"""The command line: ``cachesvc``. docs/cli.md is the reference.

``main`` has the table of commands; the module of one is imported when it is asked for (``lazy``).
A command that asks a service is a function under ``command.calls``: it is given the *service*
(``service``), and returns its *answer* (``answers``), which the frame prints as JSON or for people
(``render``, ``units``). Groups of things with names are made by ``by_name``.

How a command fails is in ``failure``: one line on stderr, and an exit code. Begin with a short one,
such as ``alarms``, and ``command``.
"""

from cachesvc.cli.main import app

__all__ = ["app"]
