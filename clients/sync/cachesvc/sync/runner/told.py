"""What a service may have stored for a task, as far as the task has told it."""

from cachesvc.client import Positions

_Key = tuple[str, int]


class Told:
    """Per partition the offsets that the service was told, of which it has one.

    What was confirmed replaces what was said before; what got no answer may be so or not.
    """

    def __init__(self) -> None:
        self._offsets: dict[_Key, set[int]] = {}

    def maybe(self, positions: Positions) -> None:
        """These were sent, and nobody has answered yet."""
        for each in positions.values():
            self._offsets.setdefault((each.topic, each.partition), set()).add(each.offset)

    def surely(self, positions: Positions) -> None:
        """The service has these."""
        for each in positions.values():
            self._offsets[each.topic, each.partition] = {each.offset}

    def strange(self, stored: Positions) -> Positions:
        """Those of a service's positions that the task has not told it.

        Of partitions of which it told none, nothing is known.
        """
        return Positions(
            each
            for each in stored.values()
            if each.offset not in self._offsets.get((each.topic, each.partition), {each.offset})
        )
