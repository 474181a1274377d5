"""Snapshots: the latest record per key of a partition, up to a position.

::

    jobs ──▶ SnapshotMaker.make ──starts──▶ snapshots.process    (one per snapshot)
                 │  ─── Order: files, what counts ─▶│            making: two passes, DuckDB for keys
                 │  ◀── how far, then Made ─────────┤            pieces: row groups side by side
                 └── Shelf.publish: catalogue, then what it supersedes goes

A snapshot is a Parquet file like a segment's, whose records have the offsets that they have in the
log (``store.snapshot_file``). So a stream reads it like a log in which most records are missing,
every position in it is an offset, and behind its end the log goes on.

* ``policy.snapshots`` says what to make, from what, and which snapshots stay,
* ``shelf`` knows which there are, and which of them subscriptions are in the middle of,
* ``maker`` runs the process, and has damaged sources repaired,
* ``making`` is what that process does.

Begin with ``shelf.Shelf``. docs/snapshots.md tells it from outside.
"""
