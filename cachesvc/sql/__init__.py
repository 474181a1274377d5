"""SQL over the log: each query in a process of its own, over one consistent view of the store.

::

    serving ──▶ QueryEngine.run ──starts──▶ sql.process        (one per query)
                    │  ◀── which logs the query names ──┤      statement: DuckDB's own parser
                    │  ─── the view of them ───────────▶│      views: hard links; relations: DuckDB
                    │  ◀── rows as Arrow IPC ───────────┤
                    └── kills it: at its time limit, or when the caller goes

The service never parses SQL and never waits for a query. What a query reads are hard links to the
segments and journals as they were at one moment (``views``), below ``<store>/queries/``: whatever
is merged, expired or sealed meanwhile, the query reads on, and nothing else has to know of it.

What fences a query in: only SELECT statements and table functions that touch nothing
(``statement``); DuckDB without access to any file, its configuration locked (``relations``); a
process that has bounds for memory and files, no secrets in its environment, and gives way to all
others (``cachesvc.bounds``).
"""
