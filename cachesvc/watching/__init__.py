"""How mining is doing: what comes in now, today and since a log began, and how far it is behind.

``mining_watch.MiningWatch`` is told of every frame that the log publishes; it counts records,
bytes and rejects by topic, stores the counts every few seconds, and gives an ``Activity`` to
whoever asks.
``lag`` says how far a partition is behind its source, in seconds and in bytes.

Begin with ``mining_watch.Activity``, which is what operators see. Counting costs an append next to
nothing, and nothing here changes what is cached. Alarms are raised in ``alarms``.
"""
