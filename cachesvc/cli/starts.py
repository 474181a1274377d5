"""Where to start, as an operator writes it."""

import re
from collections.abc import Sequence

from cachesvc.cli.failure import USAGE, CommandFailed
from cachesvc.units import parse_time_ms
from cachesvc.v1.log_cache_pb2 import Earliest, Latest, Position, Positions, Start

_POSITION = re.compile(r"(?P<topic>[A-Za-z0-9._-]{1,249}):(?P<partition>\d+)=(?P<offset>\d+)")


def parse_start(text: str, flag: str) -> Start:
    """The start that ``earliest``, ``latest`` or a timestamp stands for.

    Raises:
        CommandFailed: It is none of them; ``flag`` is named.
    """
    if text == "earliest":
        return Start(earliest=Earliest())
    if text == "latest":
        return Start(latest=Latest())
    try:
        return Start(timestamp_ms=parse_time_ms(text))
    except ValueError as error:
        advice = (
            "give earliest, latest, a time such as 2026-01-31T12:00:00Z, or milliseconds since "
        )
        advice += "the epoch"
        raise CommandFailed(f"{flag} {text!r} is no start", advice=advice, code=USAGE) from error


def parse_positions(texts: Sequence[str], flag: str) -> Start:
    """The start at positions that are written ``TOPIC:PARTITION=OFFSET``.

    Raises:
        CommandFailed: One of them is not written so; ``flag`` is named.
    """
    positions = []
    for text in texts:
        match = _POSITION.fullmatch(text)
        partition, offset = (int(match["partition"]), int(match["offset"])) if match else (-1, -1)
        if match is None or partition > 2**31 - 1 or offset > 2**63 - 1:
            what = f"{flag} {text!r} is no position"
            raise CommandFailed(what, advice="write TOPIC:PARTITION=OFFSET", code=USAGE)
        positions.append(Position(topic=match["topic"], partition=partition, offset=offset))
    return Start(positions=Positions(positions=positions))
