"""What is cached: one log per partition, how it is written, how it is read, what outlives a crash.

A *log* (``partition_log``) is one coverage range, ``[log_start_offset, log_end_offset)``, all of it
mined. Its newest part is *frames* in memory (``recent_frames``, ``memory_budget``), all of it is in
*journals* and *segments* on disk; ``locations`` says where an offset lies. A partition has one log
that grows with its source, and perhaps older ones below it, which come up to the next one as what
is missing between them is mined (``coverage_ranges``, ``backfill``). Everything is found through
one object, ``log_store.LogStore``:

* **Written**: ``writer`` accepts a frame and publishes it once it is in the journal. ``sealing``
  makes a segment of a full journal, ``manifest`` makes it live in one transaction, ``builds`` keeps
  files that are not yet live from being swept.
* **Read**: ``reading`` gives frames from wherever they lie, ``shared_cache`` keeps what many want,
  ``warm_journals`` what is cheap to read, ``rejects`` what was turned away. ``estimates`` answers
  without reading.
* **Recovered**: ``store_lock`` lets one process in, ``recovery`` finds what there is, ``mending``
  takes out what is damaged while the service runs.
* **Told apart**: ``incarnations`` knows the incarnation that each topic is in, ``epochs`` from
  which leaders a log was mined, ``waiting`` which partitions have no log yet; ``log_changes`` has
  logs begin and end.

Begin with ``partition_log``, whose module text has the invariants, and then ``LogStore.open``.
State belongs to the event loop; files, the catalogue and CPU work are left to threads.

Who reads the log is in ``subscriptions``, who mines it in ``assignment``, how it is doing in
``watching``; none of them is known here.
"""
