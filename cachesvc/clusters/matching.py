"""Which topics of a connection a topic expression means, worked out once for everybody who asks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cachesvc.clusters.sources import Source

_EXPRESSIONS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class _Matched:
    topics: frozenset[str]
    by_expression: dict[str, tuple[str, ...]] = field(default_factory=dict)


class TopicMatching:
    """Remembers what expressions match until the connection's topics change.

    Whoever watches mining asks every few seconds, with an expression per subscription; matching
    10,000 names takes RE2 some 10 ms, comparing them with the ones of before a hundredth of that.

    Args:
        matcher: Makes a test for topic names from a topic expression.
    """

    def __init__(self, matcher: Callable[[str], Callable[[str], bool]]) -> None:
        self._matcher = matcher
        self._matched: dict[str, _Matched] = {}

    def __call__(self, source: Source, expression: str) -> Sequence[str]:
        """The names of the connection's topics that match."""
        matched = self._matched.get(source.name)
        if (
            matched is None
            or matched.topics != source.topics.keys()
            or len(matched.by_expression) >= _EXPRESSIONS_MAX
        ):
            matched = self._matched[source.name] = _Matched(frozenset(source.topics))
        found = matched.by_expression.get(expression)
        if found is None:
            found = tuple(filter(self._matcher(expression), source.topics))
            matched.by_expression[expression] = found
        return found
