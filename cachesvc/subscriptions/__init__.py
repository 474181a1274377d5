"""Who reads the log: durable positions, streams on them, and what they keep from being dropped.

A *subscription* is a task's name with a *position* per partition, the next offset to read. It has
at most one *subscriber*, a live stream; a newer one takes it over with a higher epoch, and what the
older one still commits is refused. Or it is shared by the *members* of a *group*: each partition is
with one of them, under an epoch of its own.

* ``subscriptions`` keeps all of them, in memory and through the catalogue; ``subscription`` is one,
* ``position_queue`` gathers commits of many into one transaction,
* ``group`` says which member has which partition, and what has to happen before it moves;
  ``members`` has the values of it,
* ``subscriber`` is one stream: what it was given, so that nothing else is committed, and the error
  with which it has to end,
* ``retention`` says how long and how much of what is cached stays, and what of it somebody has
  still to read; ``topic_sizes`` and ``store_usages`` say what topics and stores hold,
  ``store_levels`` which stores are full.

Begin with ``subscriptions.Subscriptions.open``. What is sent on a stream is the business of
``serving``; what is mined because of a subscription, of ``assignment``.
"""
