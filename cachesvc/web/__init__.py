"""The HTTP edge: what monitoring asks for.

``GET /metrics`` has figures for Prometheus, ``/livez`` and ``/readyz`` answer probes. All of it
runs in a thread of its own with an event loop of its own (``server.WebServer``), so that it answers
before the store is open, and however busy the service is.

Figures are *gathered* on the event loop that they belong to, in slices that hold nobody up
(``gathering``), as plain rows (``families.Family``); the thread makes text of them
(``exposition``). What there is to tell is in one module for each area: ``topic_metrics``,
``reader_metrics``, ``serving_metrics``, ``store_metrics``, ``operating_metrics``. Begin
with ``gathering.Gathering``.
"""
