"""Testing a connection: one function per check, and ``examine``, which makes them in order."""

from cachesvc.mining.kafka.checks.examination import examine

__all__ = ["examine"]
