"""Who changed what, from where, and how it ended.

``trail.AuditTrail`` enters a call before it is carried out and completes the entry when it has
ended: in the catalogue, which ``cachesvc audit`` shows, and as JSON lines in ``file.AuditFile``,
which whatever gathers logs may take away. ``serving.auditing`` tells it of calls.

Begin with ``trail.AuditTrail``.
"""
