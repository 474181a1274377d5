"""Traces: the way of some records through the cache, told to a collector by OpenTelemetry.

A trace is that of one append, from when its newest record was produced until subscriptions have
committed it. A reader chooses which (``mining.tracing``) and says what happened there; the service
makes all spans (``spans``), remembers the newest traces so that deliveries and commits find theirs
(``remembered``), and sends them (``export``). ``traces`` is where the three meet: begin there.

Nobody imports this package unless there is an endpoint: it needs the extra ``cachesvc[traces]``.
docs/traces.md tells it from outside.
"""
