"""The gRPC edge: what sync tasks, readers and operators are answered.

Each call is *validated*, *resolved* and *served*. ``log_cache`` is what tasks call: ``forms`` makes
checked values of a request, ``selection`` says what is meant by its topics, ``starts`` where it
begins, ``subscribing`` leads one call from its request to its end.

* A *stream* (``stream``) is a cursor per partition (``cursor``); nothing is queued for a
  subscriber. ``batches`` cuts frames to what was asked for, ``responses`` and ``wire_format`` join
  ready bytes to messages, ``stream_events`` tells everything else, ``tails`` which topics have
  caught up; ``joining`` brings partitions in, ``membership`` those of a member in and out.
* ``ingest`` is what readers call, ``appending`` takes their appends, ``agents`` lets readers of
  other machines in.
* ``admin`` is what operators call, one class per group of calls.
* ``server`` has the listeners, ``status`` makes a gRPC status of an error, ``convert`` and
  ``views`` messages of what the rooms know.

Begin with ``log_cache``, then ``stream``. Other edges are known by ports only (``ports``).
"""
