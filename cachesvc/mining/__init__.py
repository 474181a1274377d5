"""The Kafka edge: what reads a source, in a process of its own, and the service's view of clusters.

A *reader* (``reader``) is a process without anything durable. It joins a service (``uplink``), is
told which topics to mine, from which offset and under which epoch (``holdings``), and appends what
it has mined. On the way records are checked (``json_rule``, ``nesting``, ``record_sizes``) and
encoded (``encode``), beside the event loop (``encoding_threads``); ``window`` bounds what is on its
way, and ``miner`` is one membership from the source's batches to appends that the service has
taken; ``setbacks`` is what becomes of a partition at which that fails.

* What mining needs of a source is a port, ``source.SourceReader``; the package ``kafka`` implements
  it.
* What kills a reader is told by the one after it: ``black_box``, ``careful_start``.
* In the service: ``supervisor`` starts local readers, ``connections`` has what runs for each
  connection, ``watch`` looks at each cluster.

Begin with ``source``, then ``miner``. Only ``uplink`` and ``append_stream`` know gRPC; a
reader opens no file of the store.
"""
