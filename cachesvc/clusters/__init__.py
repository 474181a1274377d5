"""What is known of the Kafka clusters, without a record being read from any.

A *source* is a connection as the service sees it: its topics, their partitions, whether the cluster
answers (``sources``). It asks through a port, ``lookup.SourceLookup``, which ``mining.kafka``
implements, and is looked at again every few seconds and whenever somebody doubts what is known.

* ``matching`` says which topics a topic expression means,
* ``known_clusters`` holds the cluster that answers against the one that was mined before, so that
  records of two clusters never come into one log,
* ``first_offsets`` finds where the log of a partition begins that is new to the cache.

Begin with ``lookup``, the whole of what a cluster is asked, and then ``sources.Sources``. Nothing
here knows the log; who puts the two together is ``assignment``.
"""
