"""Decisions without effects: values in, a decision out; clock and sizes are arguments.

Nothing here waits, opens a file, asks for the time or knows Arrow, so every rule can be tested
with literal values. The modules: ``coverage`` (sets of offsets), ``sealing`` (when a journal
becomes a segment), ``compaction`` (which segments to merge), ``retention`` (which to drop for
their age), ``size_limits`` and ``shedding`` (which to drop because there are too many),
``start_position`` (where a stream begins), ``assignment`` (which reader mines which
topic), ``topics`` (names and expressions), ``models`` (schemas of topics), ``model_refresh`` (when
and from which records).
"""
