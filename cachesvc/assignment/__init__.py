"""Who mines the log: which topics are needed, which reader has each, and under which epoch.

A topic is *needed* while a subscription wants it (``uses``). Whether it is mined then, the *mining
task* of its connection says: operators stop, pause, start and pin topics there. A *reader* is a
process that has joined; each topic has one reader at a time, *fenced* by an epoch that grows with
every change of hands.

* **What is mined**: ``mining_tasks`` decides, ``mining_commands`` is what operators may ask for,
  ``mining_records`` makes it durable, ``pins`` gives a topic to one reader, ``blocked`` keeps what
  no reader survives from all of them. ``mining`` holds these together.
* **Where it begins**: ``log_creation`` makes the logs of new partitions and of new incarnations of
  a topic, ``resuming`` says at which offset mining goes on.
* **Who mines it**: ``readers`` are those that have joined, ``loads`` weighs topics, ``planning``
  says when it is looked at, ``assignments`` gives topics to readers, and ``topic_epochs`` has the
  epoch of each, which lets nobody else append.
* **What comes back**: ``reports`` takes what readers say of partitions, brokers and deaths.

Begin with ``assignments.Assignments.plan``. Decisions without effects are in ``policy``
(``assignment``, ``mining_task``, ``blocking``); how readers speak to this is in ``serving.ingest``.
"""
