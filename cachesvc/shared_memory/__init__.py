"""Records handed to processes of this machine in memory that they share with the service.

What is read by many tasks of a machine is decoded once, by the service, and none of it goes through
a socket. docs/shared-memory.md has the protocol, its bounds, and what protects whom from whom.
"""
