"""The scheduler edge: what is done to the store again and again.

A *job* (``job.Job``) has a name, a description and a ``run`` that reports progress; ``scheduler``
runs it on its interval and on demand, one run at a time, and keeps what became of it. ``compact``
merges segments, ``expire`` applies retention, ``sweep`` deletes files that nothing names any more,
``seal`` makes Parquet of what is in journals, ``models`` infers which fields a topic's objects
have. ``shedding`` keeps stores within their budgets, and is no job: it looks every few seconds.

Begin with ``job``, then the shortest one, ``sweep``. What a job would do is decided in ``policy``;
what it did is in the counts that it returns.
"""
