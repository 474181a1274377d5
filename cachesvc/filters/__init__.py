"""Filters and projections: what of a log a subscriber wants, evaluated before it is sent.

A *filter* is a tree of conditions over a record (``conditions``), which comes as a message or as
text (``text``). A *projection* leaves parts of the records out (``projection``). Both together are
a *reduction* (``reducing``): it makes of a frame a frame that covers the same range with fewer
records in it, so that positions, gaps and whatever follows from them are the same as without.

Conditions are evaluated over whole record batches, in threads: times, keys and headers by Arrow
(``columns``), fields of values by one typed decode that makes no object of what is not asked for
(``fields``). Before that, two things that parse nothing rule most records out: statistics of times
(``times``) leave whole segments, row groups and frames unread, and ``needles`` finds the rows that
can hold the texts that a filter insists on. Neither may ever change an answer; docs/filters.md
defines what an answer is, and a property test holds all of this against that definition, written
down in plain Python.

Begin with ``conditions``.
"""

from cachesvc.filters.conditions import Condition
from cachesvc.filters.projection import Projection
from cachesvc.filters.reducing import Reduction
from cachesvc.filters.text import parse

__all__ = ["Condition", "Projection", "Reduction", "parse"]
