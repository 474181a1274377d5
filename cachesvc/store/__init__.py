"""Files: what is durable, byte by byte. docs/store-format.md specifies all of it.

A *frame* (``frames``) is what a reader appended in one piece. Frames are added to a *journal*
(``journal``), which becomes a *segment* (``segments``), a Parquet file of one partition
(``parquet_file``); ``merging`` makes one of several. Their columns are in ``record_schema``, their
paths in ``layout``; ``recoding`` makes frames of what lies in Parquet. Which segments are live says
the *manifest*, a table of the *catalogue*.

* The catalogue is a port, ``ports.Catalogue``, in parts (``mining_ports``, ``model_port``,
  ``watching_port``, ``stores_port``). ``catalogue`` implements it on DuckDB, with a module per
  group of tables, ``memory_catalogue`` without files; one conformance suite runs over both.
* SQL is in ``.sql`` files, read by ``statements``.
* ``refusals`` says what it means where the system refuses, ``open_files`` bounds descriptors.

Begin with ``frames`` and ``ports``. Nothing here waits or belongs to an event loop: who calls it
decides in which thread.
"""
