"""Settings: what can be said of a service and its connections, and how a wrong one is told.

A *section* is a frozen struct that refuses unknown fields, so what is mistyped never falls back to
a default in silence. Types say kind and range, with units last in a name (``segment_bytes_max``,
``poll_interval_s``); what fits together is checked by functions.

* ``config`` has the sections of the file, ``Config`` all of them together,
* ``connection`` one connection, the same struct in the file, in the catalogue and on its way to a
  reader process; secrets are never in it, only where they are,
* ``alarms`` what somebody has to know of, ``jobs`` scheduled work, ``stores`` where files lie,
* ``layers`` puts default, file, environment and flags on top of each other,
* ``validation`` makes the message: where it was set, which one, what is wrong, what to do;
  ``bounds`` has units and ranges that several share.

Begin with ``config.Config``, and to add a setting, with the section that it belongs to;
docs/configuration.md is the reference.
"""
